use super::*;
use std::time::Duration;

#[tokio::test]
async fn a_port_in_use_is_named_with_its_address() {
    let mut net = SipTransports::new(Config::default());
    for transport in [Transport::Udp, Transport::Tcp] {
        let taken = net.bind(transport, "127.0.0.1:0".parse().unwrap()).unwrap();
        let error = net.bind(transport, taken).unwrap_err();
        assert!(matches!(error, BindError::PortInUse { addr, .. } if addr == taken), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&taken.port().to_string()), "{text}");
        assert!(text.contains("127.0.0.1") && text.contains("choose another port"), "{text}");
    }
}

#[tokio::test]
async fn an_address_of_another_machine_and_an_unbuilt_transport_are_refused() {
    let mut net = SipTransports::new(Config::default());
    let error = net.bind(Transport::Udp, "192.0.2.1:5060".parse().unwrap()).unwrap_err();
    assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
    let error =
        net.bind(Transport::Tls, "127.0.0.1:5061".parse().unwrap()).unwrap_err().to_string();
    if cfg!(feature = "tls") {
        let why = "listening for TLS needs a server certificate and key";
        assert_eq!(error, format!("cannot listen for TLS on 127.0.0.1:5061: {why}"));
    } else {
        assert_eq!(error, "transport TLS is not in this build");
    }
}

#[tokio::test]
async fn sending_without_a_fitting_socket_fails_as_an_event() {
    let mut net = SipTransports::new(Config::default());
    let flow = |transport, remote: &str| Flow {
        transport,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: remote.parse().unwrap(),
    };
    let udp = flow(Transport::Udp, "127.0.0.1:9");
    net.send(udp, Bytes::from_static(b"x"));
    let error = io::ErrorKind::AddrNotAvailable;
    assert_eq!(net.recv().await, NetEvent::SendFailed { flow: udp, error });
    net.bind(Transport::Udp, "127.0.0.1:0".parse().unwrap()).unwrap();
    let v6 = flow(Transport::Udp, "[::1]:9");
    net.send(v6, Bytes::from_static(b"x"));
    assert_eq!(net.recv().await, NetEvent::SendFailed { flow: v6, error });
    if cfg!(not(feature = "tls")) {
        let tls = flow(Transport::Tls, "127.0.0.1:9");
        net.send(tls, Bytes::from_static(b"x"));
        let error = io::ErrorKind::Unsupported;
        assert_eq!(net.recv().await, NetEvent::SendFailed { flow: tls, error });
    }
}

#[tokio::test]
async fn datagrams_leave_through_the_socket_that_the_flow_names() {
    let mut net = SipTransports::new(Config::default());
    let addresses: Vec<SocketAddr> =
        (0..3).map(|_| net.bind(Transport::Udp, "127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for local in addresses.iter().rev() {
        let remote = peer.local_addr().unwrap();
        net.send(
            Flow { transport: Transport::Udp, local: *local, remote },
            Bytes::from_static(b"x"),
        );
        net.flush();
        assert_eq!(peer.recv_from(&mut [0; 9]).unwrap().1, *local);
    }
}

#[tokio::test]
async fn a_flooded_socket_does_not_silence_a_stream() {
    let mut net = SipTransports::new(Config::default());
    let udp = net.bind(Transport::Udp, "127.0.0.1:0".parse().unwrap()).unwrap();
    let tcp = net.bind(Transport::Tcp, "127.0.0.1:0".parse().unwrap()).unwrap();
    let flood = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3000 {
        flood.send_to(&[0; 100], udp).unwrap();
    }
    let _peer = std::net::TcpStream::connect(tcp).unwrap();
    let mut before = 0;
    while !matches!(net.recv().await, NetEvent::Opened { .. }) {
        before += 1;
    }
    assert!(before < 100, "{before}");
}
