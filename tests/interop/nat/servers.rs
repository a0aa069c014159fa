//! What stands in the public network: Kamailio, and coturn with a certificate of the test's authority.

use super::lab::{Internet, PROXY, SECOND, TURN};
use crate::kamailio::Kamailio;
use crate::peers::{Process, scratch, start_coturn, stun_answers};
use crate::secure::Certificates;
use std::net::{SocketAddr, TcpStream};

/// The servers of one public network; they go before it does.
pub(crate) struct Servers {
    _kamailio: Kamailio,
    _coturn: Process,
    certificates: Certificates,
}

impl Servers {
    pub(crate) fn start(name: &str, internet: &Internet) -> Self {
        let certificates = Certificates::make_for(
            &format!("nat-{name}"),
            &format!("DNS:sip.test,IP:{},IP:{}", TURN[0], TURN[1]),
        );
        let side = "method = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n";
        let tls = format!(
            "[server:default]\n{side}private_key = {}\ncertificate = {}\n[client:default]\n{side}",
            certificates.path("server.key"),
            certificates.path("server.pem")
        );
        internet.public.run(|| {
            let config = include_str!("kamailio.cfg");
            let config = config.replace("FOUR", PROXY[0]).replace("SIX", PROXY[1]);
            let at = SocketAddr::new(PROXY[0].parse().expect("an address"), 5060);
            let kamailio =
                Kamailio::start_at(&format!("nat-{name}"), at, &config, &[("tls.cfg", &tls)]);
            let coturn = coturn(name, &certificates);
            Self { _kamailio: kamailio, _coturn: coturn, certificates }
        })
    }

    /// The options that make a softphone the user `user`, of a family ("4" or "6") and over a transport.
    pub(crate) fn account(&self, user: &str, family: Family, transport: &str) -> Vec<String> {
        let (proxy, any) = match family {
            Family::Four => (PROXY[0].to_owned(), "0.0.0.0:0"),
            Family::Six => (format!("[{}]", PROXY[1]), "[::]:0"),
        };
        let port = if transport == "tls" { 443 } else { 5060 };
        [
            "--aor",
            &format!("sip:{user}@sip.test"),
            "--registrar",
            "sip:sip.test",
            "--outbound-proxy",
            &format!("sip:{proxy}:{port};lr;transport={transport}"),
            "--transport",
            transport,
            "--password",
            &format!("secret{user}"),
            "--listen",
            any,
            "--expires",
            "60",
            "--ca",
            &self.certificates.path("ca.pem"),
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Four,
    Six,
}

fn coturn(name: &str, certificates: &Certificates) -> Process {
    let dir = scratch(&format!("nat-{name}-coturn"));
    let both = |option: &str| format!("{option}={}\n{option}={}\n", TURN[0], TURN[1]);
    let config = format!(
        "{}listening-ip={SECOND}\n{}listening-port=3478\ntls-listening-port=5349\n\
         min-port=49160\nmax-port=49300\nlt-cred-mech\nuser=lab:labsecret\nrealm=sip.test\nfingerprint\n\
         cert={}\npkey={}\nno-cli\nno-dtls\nno-multicast-peers\nrelay-threads=1\nlog-file=stdout\nsimple-log\nverbose\n\
         pidfile=turnserver.pid\nuserdb=turndb.sqlite\n",
        both("listening-ip"),
        both("relay-ip"),
        certificates.path("server.pem"),
        certificates.path("server.key"),
    );
    let tls: SocketAddr = (TURN[0].parse::<std::net::IpAddr>().expect("an address"), 5349).into();
    // TCP and TLS are there before UDP is.
    start_coturn(&dir, &config, || {
        stun_answers(PROXY[0], (TURN[0], 3478))
            && stun_answers(PROXY[0], (SECOND, 3478))
            && stun_answers(PROXY[1], (TURN[1], 3478))
            && TcpStream::connect(tls).is_ok()
    })
}
