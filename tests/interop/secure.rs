//! TLS, WebSocket and secure WebSocket against Kamailio and baresip, and a domain found by the records
//! of a real name server.

use crate::kamailio::{Kamailio, phone};
use crate::peers::{Process, Softphone, free_port, installed, scratch, shared};
use crate::sound::{assert_tone, tone};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority of our own, and a certificate of it for `sip.test`.
pub(crate) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    pub(crate) fn make(name: &str) -> Self {
        Self::make_for(name, "DNS:sip.test")
    }

    /// A certificate for these names.
    pub(crate) fn make_for(name: &str, names: &str) -> Self {
        let dir = scratch(&format!("certificates-{name}"));
        let openssl = |args: &str| {
            let status = Command::new("openssl")
                .args(args.split_whitespace())
                .current_dir(&dir)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            assert!(status.is_ok_and(|s| s.success()), "openssl {args}");
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256";
        for ca in ["ca", "stranger"] {
            openssl(&format!(
                "req -x509 {key} -days 30 -keyout {ca}.key -out {ca}.pem -subj /CN={ca} \
                 -addext basicConstraints=critical,CA:TRUE"
            ));
        }
        openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=sip.test"));
        let names = format!("subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n");
        std::fs::write(dir.join("names"), names).expect("names");
        openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -sha256 \
             -extfile names -out server.pem",
        );
        Self { dir }
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.dir.join(file).display().to_string()
    }
}

/// Kamailio with all five transports.
pub(crate) struct Secure {
    kamailio: Kamailio,
    pub(crate) certificates: Certificates,
    tls: u16,
    ws: u16,
    wss: u16,
}

/// The proxy of `kamailio.cfg` with three more listeners; contacts that nobody can connect to are
/// answered over the connection they came by.
fn config(tls: u16, ws: u16, wss: u16) -> String {
    let listeners = format!(
        "tcp_crlf_ping=yes\nenable_tls=yes\ntcp_accept_no_cl=yes\nlisten=tls:127.0.0.1:{tls}\n\
         listen=tcp:127.0.0.1:{ws}\nlisten=tls:127.0.0.1:{wss}\n"
    );
    let modules = "loadmodule \"auth.so\"\nloadmodule \"nathelper.so\"\nloadmodule \"tls.so\"\n\
                   loadmodule \"xhttp.so\"\nloadmodule \"websocket.so\"\n\
                   modparam(\"tls\", \"config\", \"tls.cfg\")\n\
                   modparam(\"registrar\", \"received_avp\", \"$avp(RECEIVED)\")\n\
                   modparam(\"nathelper\", \"received_avp\", \"$avp(RECEIVED)\")\n";
    let nowhere = "force_rport();\n    if (nat_uac_test(64)) {\n        \
                   if (is_method(\"REGISTER\")) fix_nated_register();\n        \
                   else if (is_first_hop()) set_contact_alias();\n    }\n";
    let handshake = "onreply_route[REP] { if (nat_uac_test(64) && is_first_hop()) set_contact_alias(); }\n\
                     event_route[xhttp:request] {\n    set_reply_close(); set_reply_no_connect();\n    \
                     if ($hdr(Upgrade) =~ \"[Ww]eb[Ss]ocket\" && $rm == \"GET\") {\n        \
                     if (ws_handle_handshake()) exit;\n    }\n    \
                     xhttp_reply(\"404\", \"Not Found\", \"text/plain\", \"WebSocket only\\n\");\n}\n";
    include_str!("kamailio.cfg")
        .replace("tcp_crlf_ping=yes\n", &listeners)
        .replace("loadmodule \"auth.so\"\n", modules)
        .replace("force_rport();\n", nowhere)
        .replace(
            "        route(RELAY);\n    }\n    t_check_trans();",
            "        handle_ruri_alias();\n        route(RELAY);\n    }\n    t_check_trans();",
        )
        .replace(
            "    if (!t_relay()) sl_reply_error();\n    exit;\n}",
            "    t_on_reply(\"REP\");\n    if (!t_relay()) sl_reply_error();\n    exit;\n}",
        )
        + handshake
}

impl Secure {
    pub(crate) fn start(name: &str) -> Self {
        let certificates = Certificates::make(name);
        let (tls, ws, wss) = (free_port(), free_port(), free_port());
        let side = "method = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n";
        let tls_config = format!(
            "[server:default]\n{side}private_key = {}\ncertificate = {}\n[client:default]\n{side}",
            certificates.path("server.key"),
            certificates.path("server.pem")
        );
        let files = [("tls.cfg", tls_config.as_str())];
        let kamailio = Kamailio::start_with(name, &config(tls, ws, wss), &files);
        Self { kamailio, certificates, tls, ws, wss }
    }

    /// Where it is by UDP and TCP.
    pub(crate) fn port(&self) -> u16 {
        self.kamailio.port
    }

    /// Where pages find it.
    pub(crate) fn wss_url(&self) -> String {
        format!("wss://127.0.0.1:{}", self.wss)
    }

    /// The options of a user of it over one of its transports.
    pub(crate) fn account(&self, user: &str, transport: &str) -> Vec<String> {
        let (port, name) = match transport {
            "udp" => (self.kamailio.port, "udp"),
            "tls" => (self.tls, "tls"),
            "ws" => (self.ws, "ws"),
            // RFC 7118 has one name for both kinds.
            "wss" => (self.wss, "ws"),
            other => panic!("{other}"),
        };
        let proxy = format!("sip:127.0.0.1:{port};lr;transport={name}");
        let (aor, password) = (format!("sip:{user}@sip.test"), format!("secret{user}"));
        let ca = self.certificates.path("ca.pem");
        [
            ["--aor", &aor],
            ["--registrar", "sip:sip.test"],
            ["--outbound-proxy", &proxy],
            ["--transport", transport],
            ["--password", &password],
            ["--listen", "127.0.0.1:0"],
            ["--expires", "60"],
            ["--ca", &ca],
        ]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
    }
}

pub(crate) fn have_kamailio() -> bool {
    installed("kamailio") && installed("openssl")
}

#[test]
fn two_softphones_talk_across_tls_and_both_kinds_of_websocket() {
    let _one = shared();
    if !have_kamailio() {
        return;
    }
    let kamailio = Secure::start("across");
    for (from, to) in [("tls", "ws"), ("ws", "wss"), ("wss", "tls")] {
        let dir = scratch(&format!("secure-{from}-{to}-wav"));
        let (a, b) = (dir.join("alice.wav"), dir.join("bob.wav"));
        let (a_wav, b_wav) = (a.display().to_string(), b.display().to_string());
        let account = kamailio.account("1002", to);
        let mut bob =
            phone("bob", &account, &["--input", "tone:600", "--output", &b_wav, "answer"]);
        let registered = bob.expect("registered");
        let contact = registered["contact"].as_str().unwrap_or_default().to_owned();
        assert_eq!(contact.contains(".invalid"), to != "tls", "{contact}");
        let account = kamailio.account("1001", from);
        let rest =
            ["--input", "tone:440", "--output", &a_wav, "--for", "4", "call", "sip:1002@sip.test"];
        let mut alice = phone("alice", &account, &rest);
        alice.expect("answered");
        bob.expect("answered");
        // The BYE takes the recorded route over the connections that there are.
        assert_eq!(bob.expect("ended")["by"], "remote");
        assert_eq!(alice.finish(), 0);
        bob.interrupt();
        assert_eq!(bob.finish(), 130);
        let level = tone(&a).dbfs;
        assert_tone(&a, 600.0, level);
        assert_tone(&b, 440.0, level);
    }
}

#[test]
fn the_called_one_may_hang_up_over_its_own_connection() {
    let _one = shared();
    if !have_kamailio() {
        return;
    }
    let kamailio = Secure::start("hang-up");
    for transport in ["tls", "ws", "wss"] {
        let quiet = ["--input", "silence", "--output", "null"];
        let account = kamailio.account("1002", transport);
        let mut bob = phone("bob", &account, &[&quiet[..], &["--for", "3", "answer"]].concat());
        bob.expect("registered");
        let account = kamailio.account("1001", transport);
        let rest = [&quiet[..], &["--for", "20", "call", "sip:1002@sip.test"]].concat();
        let mut alice = phone("alice", &account, &rest);
        alice.expect("answered");
        let end = alice.expect("ended");
        assert_eq!(end["by"], "remote", "{transport}: {end}");
    }
}

#[test]
fn a_server_whose_authority_is_unknown_is_refused_in_words() {
    let _one = shared();
    if !have_kamailio() {
        return;
    }
    let kamailio = Secure::start("stranger");
    for transport in ["tls", "wss"] {
        let mut account = kamailio.account("1001", transport);
        let ca = account.last_mut().expect("the authority");
        *ca = kamailio.certificates.path("stranger.pem");
        let mut phone = phone("1001", &account, &["register"]);
        let failed = phone.expect("registration_failed");
        let reason = failed["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("certificate") && reason.contains("UnknownIssuer"), "{failed}");
        assert!(failed["status"].is_null(), "{failed}");
        phone.interrupt();
    }
    // Asked for by the user, in so many words.
    let mut account = kamailio.account("1001", "tls");
    account.truncate(account.len() - 2);
    let mut phone = phone("1001", &account, &["--insecure", "register"]);
    phone.expect("registered");
}

/// A name server of its own on a loopback port, with these lines of dnsmasq's configuration.
fn name_server(name: &str, records: &str) -> (Process, u16) {
    let (dir, port) = (scratch(&format!("names-{name}")), free_port());
    let config = format!(
        "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\n\
         local=/test/\nlocal-ttl=7\n{records}"
    );
    std::fs::write(dir.join("dnsmasq.conf"), config).expect("configuration");
    let log = std::fs::File::create(dir.join("log")).expect("log");
    let process = Process::start(
        Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--pid-file=", "--user=", "--group="])
            .arg(format!("--conf-file={}", dir.join("dnsmasq.conf").display()))
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log),
    );
    (process, port)
}

#[test]
fn a_domain_is_found_by_its_records_and_a_dead_server_is_passed_over() {
    let _one = shared();
    if !have_kamailio() || !installed("dnsmasq") {
        return;
    }
    let kamailio = Secure::start("records");
    let dead = free_port();
    // NAPTR says TLS; of its two servers the first is dead. The names of the servers are not in the
    // certificate: only the domain counts (RFC 5922).
    let records = format!(
        "naptr-record=sip.test,10,50,s,SIPS+D2T,,_sips._tcp.sip.test\n\
         srv-host=_sips._tcp.sip.test,dead.sip.test,{dead},1,0\n\
         srv-host=_sips._tcp.sip.test,live.sip.test,{},2,0\n\
         host-record=dead.sip.test,127.0.0.1\nhost-record=live.sip.test,127.0.0.1\n",
        kamailio.tls
    );
    let (_names, port) = name_server("records", &records);
    let ca = kamailio.certificates.path("ca.pem");
    let server = format!("127.0.0.1:{port}");
    let account = ["--aor", "sip:1001@sip.test", "--password", "secret1001", "--ca", &ca];
    let rest = ["--listen", "127.0.0.1:0", "--dns-server", &server, "register"];
    let mut phone = Softphone::start("1001", &[&account[..], &rest[..]].concat());
    let registered = phone.expect("registered");
    let contact = registered["contact"].as_str().unwrap_or_default();
    assert!(contact.contains("transport=tls"), "{contact}");
    phone.interrupt();
    assert_eq!(phone.finish(), 130, "unregistered at the same server");
}

#[test]
fn baresip_and_a_softphone_call_each_other_over_tls() {
    let _one = shared();
    if !have_kamailio() || !installed("baresip") {
        return;
    }
    let kamailio = Secure::start("baresip");
    let params = format!(
        "auth_user=1005;auth_pass=secret1005;outbound=\"sip:127.0.0.1:{};transport=tls\";regint=60;",
        kamailio.tls
    );
    let extra = format!(
        "sip_certificate {}\nsip_cafile {}\n",
        kamailio.certificates.path("both.pem"),
        kamailio.certificates.path("ca.pem")
    );
    both(&kamailio.certificates.dir);
    let mut baresip = crate::baresip::Baresip::start_with(
        "tls",
        600,
        "PCMU/8000/1",
        "1005@sip.test;transport=tls",
        &params,
        &extra,
    );
    baresip.registered();
    let dir = scratch("baresip-tls-wav");
    let heard = dir.join("heard.wav");
    let heard_arg = heard.display().to_string();
    let account = kamailio.account("1001", "tls");
    let rest =
        ["--input", "tone:440", "--output", &heard_arg, "--for", "4", "call", "sip:1005@sip.test"];
    let mut caller = phone("caller", &account, &rest);
    caller.expect("answered");
    assert_eq!(caller.finish(), 0);
    baresip.expect("CALL_CLOSED");
    assert_tone(&heard, 600.0, tone(&heard).dbfs);

    let quiet = ["--input", "silence", "--output", "null", "answer"];
    let mut callee = phone("callee", &account, &quiet);
    callee.expect("registered");
    baresip.tell("dial", "sip:1001@sip.test");
    callee.expect("answered");
    baresip.expect("CALL_ESTABLISHED");
    baresip.tell("hangup", "");
    assert_eq!(callee.expect("ended")["by"], "remote");
    callee.interrupt();
    assert_eq!(callee.finish(), 130);
}

/// Key and certificate in one file, as baresip wants them.
fn both(dir: &Path) {
    let read = |file: &str| std::fs::read_to_string(dir.join(file)).expect("made before");
    std::fs::write(dir.join("both.pem"), read("server.key") + &read("server.pem"))
        .expect("written");
}
