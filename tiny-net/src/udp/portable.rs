//! Datagram calls where the system's own are not bound: one datagram a call, no ICMP errors, the
//! source address left to the routing table.

use super::Received;
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::UdpSocket;

pub(super) fn configure(_socket: &socket2::Socket, _v6: bool) -> io::Result<()> {
    Ok(())
}

pub(super) fn receive_one(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let (len, remote) = socket.try_recv_from(buffer)?;
    Ok(Received { len, truncated: false, remote, local: None })
}

pub(super) fn receive_many(
    socket: &UdpSocket,
    scratch: &mut [u8],
    size: usize,
    out: &mut Vec<io::Result<Received>>,
) -> io::Result<()> {
    for buffer in scratch.chunks_exact_mut(size) {
        match receive_one(socket, buffer) {
            Ok(received) => out.push(Ok(received)),
            Err(e) if out.is_empty() => return Err(e),
            Err(_) => break,
        }
    }
    Ok(())
}

pub(super) fn send_one(
    socket: &UdpSocket,
    data: &[u8],
    remote: SocketAddr,
    _source: Option<IpAddr>,
) -> io::Result<()> {
    socket2::SockRef::from(socket).send_to(data, &remote.into()).map(|_| ())
}

pub(super) fn send_many<'a>(
    socket: &UdpSocket,
    mut datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)>,
    source: Option<IpAddr>,
) -> io::Result<usize> {
    let Some((data, remote)) = datagrams.next() else { return Ok(0) };
    send_one(socket, data, remote, source).map(|()| 1)
}

pub(super) struct IcmpError {
    pub(super) remote: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) kind: io::ErrorKind,
}

pub(super) fn receive_error(_socket: &UdpSocket) -> Option<Option<IcmpError>> {
    None
}

pub(super) fn is_pending_icmp(error: &io::Error) -> bool {
    // Windows reports an earlier datagram's "port unreachable" as a reset.
    error.kind() == io::ErrorKind::ConnectionReset
}
