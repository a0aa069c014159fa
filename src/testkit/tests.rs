mod calls;
mod hostile;
mod registrations;
mod sockets;
mod support;
