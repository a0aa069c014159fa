//! Datagram calls of Linux: batches, destination addresses (`IP_PKTINFO`) and ICMP errors with the
//! destination of the datagram that caused them (`IP_RECVERR`).

use super::Received;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrIn, SockaddrIn6,
    SockaddrStorage, recvmmsg, recvmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};

const MOST: usize = 64;

/// Asks for destination addresses and for ICMP errors.
pub(super) fn configure(socket: &impl AsFd, v6: bool) -> io::Result<()> {
    if v6 {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
        setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    }
    Ok(())
}

/// Receives one datagram without allocating.
pub(super) fn receive_one(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut slices = [IoSliceMut::new(buffer)];
    // Room for an in6_pktinfo with its header, aligned as the kernel's macros want it.
    let mut control = [0u8; 64];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_DONTWAIT,
    )?;
    received(&message)
}

/// Receives up to as many datagrams as there are buffers of `size` bytes in `scratch`.
pub(super) fn receive_many(
    socket: &impl AsRawFd,
    scratch: &mut [u8],
    size: usize,
    out: &mut Vec<io::Result<Received>>,
) -> io::Result<()> {
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        scratch.chunks_exact_mut(size).take(MOST).map(|b| [IoSliceMut::new(b)]).collect();
    let control = cmsg_space!(libc::in6_pktinfo);
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slices.len(), Some(control));
    let messages = recvmmsg(
        socket.as_raw_fd(),
        &mut headers,
        slices.iter_mut(),
        MsgFlags::MSG_DONTWAIT,
        None,
    )?;
    out.extend(messages.map(|m| received(&m)));
    Ok(())
}

fn received(message: &RecvMsg<'_, '_, SockaddrStorage>) -> io::Result<Received> {
    let remote = message.address.as_ref().and_then(std_addr);
    let remote = remote.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    Ok(Received {
        len: message.bytes,
        truncated: message.flags.contains(MsgFlags::MSG_TRUNC),
        remote,
        local: message.cmsgs().ok().and_then(|all| all.into_iter().find_map(|c| destination(&c))),
    })
}

/// Sends one datagram, from `source` when the socket has several addresses.
pub(super) fn send_one(
    socket: &impl AsRawFd,
    data: &[u8],
    remote: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let info = Source::new(source);
    let to = SockaddrStorage::from(remote);
    let slices = [IoSlice::new(data)];
    let flags = MsgFlags::MSG_DONTWAIT;
    match info.message() {
        Some(message) => {
            sendmsg(socket.as_raw_fd(), &slices, std::slice::from_ref(&message), flags, Some(&to))?
        }
        None => sendmsg(socket.as_raw_fd(), &slices, &[], flags, Some(&to))?,
    };
    Ok(())
}

/// Sends several datagrams in one call, all from `source`; returns how many the system took.
pub(super) fn send_many<'a>(
    socket: &impl AsRawFd,
    datagrams: impl Iterator<Item = (&'a [u8], SocketAddr)> + Clone,
    source: Option<IpAddr>,
) -> io::Result<usize> {
    let count = datagrams.clone().take(MOST).count();
    let (mut slices, mut addresses) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (data, to) in datagrams.take(MOST) {
        slices.push([IoSlice::new(data)]);
        addresses.push(Some(SockaddrStorage::from(to)));
    }
    let info = Source::new(source);
    let message = info.message();
    let control = message.as_ref().map(|_| cmsg_space!(libc::in6_pktinfo));
    let mut headers = MultiHeaders::preallocate(slices.len(), control);
    let sent = sendmmsg(
        socket.as_raw_fd(),
        &mut headers,
        slices.iter(),
        addresses.as_slice(),
        message.as_slice(),
        MsgFlags::MSG_DONTWAIT,
    )?;
    Ok(sent.count())
}

/// An ICMP error about a datagram that this socket sent.
#[derive(Debug)]
pub(super) struct IcmpError {
    pub(super) remote: SocketAddr,
    pub(super) local: Option<IpAddr>,
    pub(super) kind: io::ErrorKind,
}

/// Takes one entry off the socket's error queue: `None` when it is empty, `Some(None)` for an
/// entry that says nothing about reachability.
pub(super) fn receive_error(socket: &impl AsRawFd) -> Option<Option<IcmpError>> {
    // The start of the datagram that failed comes along; nobody needs it.
    let mut start = [0u8; 16];
    let mut slices = [IoSliceMut::new(&mut start)];
    let mut control = [0u8; 512];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd() as RawFd,
        &mut slices,
        Some(&mut control),
        MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
    )
    .ok()?;
    let remote = message.address.as_ref().and_then(std_addr);
    let (mut kind, mut local) = (None, None);
    for part in message.cmsgs().ok().into_iter().flatten() {
        match part {
            ControlMessageOwned::Ipv4RecvErr(e, _) | ControlMessageOwned::Ipv6RecvErr(e, _) => {
                let icmp = e.ee_origin == libc::SO_EE_ORIGIN_ICMP
                    || e.ee_origin == libc::SO_EE_ORIGIN_ICMP6;
                // "Fragmentation needed" is not a failure: the system has noted the path's MTU and
                // will fragment the retransmission.
                if icmp && e.ee_errno != libc::EMSGSIZE as u32 {
                    kind = Some(io::Error::from_raw_os_error(e.ee_errno as i32).kind());
                }
            }
            other => local = local.or(destination(&other)),
        }
    }
    Some(remote.zip(kind).map(|(remote, kind)| IcmpError { remote, local, kind }))
}

fn destination(part: &ControlMessageOwned) -> Option<IpAddr> {
    match part {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes())))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)))
        }
        _ => None,
    }
}

fn std_addr(addr: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = addr.as_sockaddr_in() {
        return Some(SocketAddrV4::from(SockaddrIn::clone(v4)).into());
    }
    addr.as_sockaddr_in6().map(|v6| SocketAddrV6::from(SockaddrIn6::clone(v6)).into())
}

enum Source {
    Any,
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Source {
    fn new(ip: Option<IpAddr>) -> Self {
        match ip {
            None => Self::Any,
            Some(IpAddr::V4(ip)) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            Some(IpAddr::V6(ip)) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
                ipi6_ifindex: 0,
            }),
        }
    }

    fn message(&self) -> Option<ControlMessage<'_>> {
        match self {
            Self::Any => None,
            Self::V4(info) => Some(ControlMessage::Ipv4PacketInfo(info)),
            Self::V6(info) => Some(ControlMessage::Ipv6PacketInfo(info)),
        }
    }
}

/// True for the errors that a socket reports on behalf of an earlier datagram.
pub(super) fn is_pending_icmp(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::ECONNREFUSED
                | Errno::EHOSTUNREACH
                | Errno::ENETUNREACH
                | Errno::EPROTO
                | Errno::ENOPROTOOPT
                | Errno::EHOSTDOWN
                | Errno::EACCES
                | Errno::EMSGSIZE
        )
    )
}
