//! TLS with an implementation that is not ours: OpenSSL at the other end, with RSA keys.
#![cfg(feature = "tls")]

use bytes::Bytes;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tiny_net::tls::{Identity, Material, Roots, TlsConfig};
use tiny_net::{Config, NetEvent, SipTransports};
use tiny_sak::{Flow, Transport};

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn openssl(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(arguments.split(' '));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A certificate for `example.com`, as a SIP URI and as a name.
fn certificate(test: &str) -> Option<Dir> {
    let dir = Dir(std::env::temp_dir().join(format!("tiny-net-{test}-{}", std::process::id())));
    std::fs::create_dir_all(&dir.0).unwrap();
    let request = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=lab \
        -addext subjectAltName=URI:sip:example.com,DNS:example.com -addext basicConstraints=CA:FALSE";
    let made = openssl(&dir.0, request).status().ok()?.success();
    assert!(made, "openssl makes a certificate");
    Some(dir)
}

fn config(change: impl FnOnce(&mut TlsConfig)) -> Config {
    let mut config = Config::default();
    change(&mut config.tls);
    config
}

async fn next(net: &mut SipTransports) -> NetEvent {
    tokio::time::timeout(Duration::from_secs(10), net.recv()).await.expect("an event within 10 s")
}

const MISSING: &str = "skipped: openssl is not installed";

#[tokio::test]
async fn our_client_talks_to_openssl() {
    let Some(dir) = certificate("client") else { return eprintln!("{MISSING}") };
    for version in ["-tls1_2", "-tls1_3"] {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // It answers each line with the line reversed.
        let serve =
            format!("s_server -accept {} -cert cert.pem -key key.pem -rev {version}", free.port());
        let _server = Peer(openssl(&dir.0, &serve).spawn().unwrap());
        for _ in 0..200 {
            if std::net::TcpStream::connect(free).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let roots = Roots::Only(vec![Material::file(dir.0.join("cert.pem"))]);
        let mut net = SipTransports::new(config(|tls| tls.roots = roots));
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let flow = Flow { transport: Transport::Tls, local, remote: free };
        net.send_to(flow, "example.com", Bytes::from_static(b"OPTIONS\n"));
        let event = next(&mut net).await;
        assert_eq!(event, NetEvent::Opened { flow }, "{version}: {:?}", net.failure(flow));
        let NetEvent::Stream { data, .. } = next(&mut net).await else { panic!("{version}") };
        assert_eq!(&data[..], b"SNOITPO\n", "{version}");
    }
}

#[tokio::test]
async fn openssl_talks_to_our_server() {
    let Some(dir) = certificate("server") else { return eprintln!("{MISSING}") };
    let file = |name: &str| Material::file(dir.0.join(name));
    let server = Identity { chain: file("cert.pem"), key: file("key.pem") };
    let mut net = SipTransports::new(config(|tls| tls.server = Some(server)));
    let local = net.bind(Transport::Tls, "127.0.0.1:0".parse().unwrap()).unwrap();
    for version in ["-tls1_2", "-tls1_3"] {
        let connect = format!(
            "s_client -connect {local} -servername example.com -verify_hostname example.com \
             -CAfile cert.pem -verify_return_error -quiet {version}"
        );
        let mut client = Peer(openssl(&dir.0, &connect).spawn().unwrap());
        client.0.stdin.as_mut().unwrap().write_all(b"REGISTER\n").unwrap();
        assert!(matches!(next(&mut net).await, NetEvent::Opened { .. }), "{version}");
        let NetEvent::Stream { flow, data } = next(&mut net).await else { panic!("{version}") };
        assert_eq!(&data[..], b"REGISTER\n", "{version}");
        net.send(flow, Bytes::from_static(b"200\n"));
        let mut answer = [0; 4];
        let mut out = client.0.stdout.take().unwrap();
        tokio::task::spawn_blocking(move || {
            out.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"200\n");
        })
        .await
        .unwrap();
        net.close(flow);
    }
}
