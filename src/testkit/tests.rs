mod calls;
mod flows;
mod hostile;
mod registrations;
mod sockets;
mod support;
