mod calls;
mod registrations;
mod sockets;
mod support;
