use super::*;
use crate::cli::Cli;
use clap::Parser;

fn settings(line: &str) -> Result<Settings, Problem> {
    let words = std::iter::once("softphone").chain(line.split_whitespace());
    let cli = Cli::try_parse_from(words).unwrap();
    Settings::resolve(cli.options, cli.command.as_ref())
}

fn problem(line: &str) -> String {
    settings(line).unwrap_err().0
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for option in ["--video", "--video-input pattern", "--video-output null"] {
        let line = problem(&format!("{option} demo"));
        let name = option.split(' ').next().unwrap();
        assert!(line.starts_with(&format!("{name}: ")), "{option}: {line}");
        assert!(line.ends_with("not in this build"), "{option}: {line}");
    }
    assert!(settings("subscribe presence sip:bob@example.com").is_ok());
    assert!(settings("--srtp off demo").is_ok() && settings("--srtp optional demo").is_ok());
    assert!(settings("--srtp sdes demo").is_ok());
    match cfg!(feature = "dtls") {
        true => assert_eq!(settings("--srtp dtls demo").unwrap().srtp, Srtp::Dtls),
        false => assert!(problem("--srtp dtls demo").ends_with("not in this build")),
    }
}

#[test]
fn a_way_through_nats_is_looked_for_as_it_is_said() {
    use tiny_ua::Ice::{Full, Lite, Off};
    for (typed, ice, servers) in [
        ("demo", Off, 0),
        ("--ice demo", Full, 0),
        ("--ice=false demo", Off, 0),
        ("--ice --ice-lite demo", Lite, 0),
        ("--stun stun:192.0.2.1 demo", Full, 1),
        ("--stun stun:a --turn turn:u:p@b --turn turns:u:p@b demo", Full, 3),
    ] {
        let settings = settings(typed).unwrap();
        assert_eq!((settings.ice, settings.ice_servers.len()), (ice, servers), "{typed}");
        assert!(!settings.webrtc);
    }
    for (typed, expected) in [
        ("--stun 192.0.2.1 demo", "--stun: expected a URI that begins with stun:"),
        ("--turn stun:192.0.2.1 demo", "--turn: expected a URI that begins with turn:"),
        ("--stun stuns:192.0.2.1 demo", "--stun: 'stuns:192.0.2.1': STUN over TLS"),
        ("--turn turn:geheim@b demo", "--turn: 'b': the password is missing"),
        ("--ice-lite --stun stun:a demo", "--stun: --ice-lite asks no server"),
        ("--ice=false --stun stun:a demo", "--ice: stun:a:3478 goes with it only"),
    ] {
        let said = problem(typed);
        assert!(said.starts_with(expected), "{typed}: {said}");
    }
}

#[test]
fn a_call_as_browsers_make_it_is_encrypted_by_dtls_and_has_ice() {
    if !cfg!(feature = "dtls") {
        assert_eq!(problem("--webrtc demo"), "--webrtc: not in this build");
        return;
    }
    let webrtc = settings("--webrtc --stun stun:a demo").unwrap();
    assert_eq!((webrtc.srtp, webrtc.ice, webrtc.webrtc), (Srtp::Dtls, tiny_ua::Ice::Full, true));
    assert!(settings("--webrtc --srtp dtls --ice demo").is_ok());
    assert!(problem("--webrtc --srtp sdes demo").starts_with("--srtp: 'sdes' does not go with"));
    assert!(problem("--webrtc --ice=false demo").starts_with("--ice: --webrtc"));
}

#[test]
fn every_transport_and_secure_uris_are_taken() {
    use tiny_ua::Transport::{Tcp, Tls, Udp, Ws, Wss};
    for (name, expected) in [("udp", Udp), ("tcp", Tcp), ("tls", Tls), ("ws", Ws), ("wss", Wss)] {
        let settings = settings(&format!("--transport {name} demo")).unwrap();
        assert_eq!(settings.transport, Some(expected));
        assert!(!settings.tls.insecure && settings.tls.server.is_none());
    }
    let settings = settings("--aor sips:a@example.com --insecure register").unwrap();
    assert_eq!(settings.registrar.as_deref(), Some("sips:example.com"));
    assert!(settings.tls.insecure);
}

#[test]
fn wrong_values_are_one_line_that_names_the_option() {
    for (typed, expected) in [
        ("--listen 5060 demo", "--listen: '5060' is not an address and port"),
        ("--media-address here demo", "--media-address: 'here'"),
        ("--rtp-ports 10-5 demo", "--rtp-ports: '10-5'"),
        ("--rtp-ports 10 demo", "--rtp-ports: '10'"),
        ("--ca /nonexistent demo", "--ca: /nonexistent: "),
        ("--cert /nonexistent demo", "--cert: needs --key"),
        ("--key /nonexistent demo", "--key: needs --cert"),
        ("--cert /nonexistent --key /nonexistent demo", "--cert: /nonexistent: "),
        ("--transport carrier-pigeon demo", "--transport: 'carrier-pigeon'"),
        ("--srtp maybe demo", "--srtp: 'maybe'"),
        ("--dtmf 12x demo", "--dtmf: 'X' is not a key"),
        ("--dtmf-mode smoke demo", "--dtmf-mode: 'smoke'"),
        ("--header nothing demo", "--header: \"nothing\""),
        ("--aor alice demo", "--aor: 'alice'"),
        ("--registrar sip:192.0.2.1 answer", "--registrar: needs --aor"),
        ("register", "--aor: register needs to know who I am"),
        ("--aor sip:a@example.com --no-register register", "--no-register: "),
        ("--script /nonexistent demo", "--script: /nonexistent: "),
        ("--password-file /nonexistent demo", "--password-file: /nonexistent: "),
    ] {
        let line = problem(typed);
        assert!(line.starts_with(expected) && !line.contains('\n'), "{typed}: {line}");
    }
}

#[test]
fn answer_without_a_registrar_waits_at_5060() {
    assert_eq!(settings("answer").unwrap().listen.port(), 5060);
    assert_eq!(settings("call sip:bob@192.0.2.1").unwrap().listen.port(), 0);
    let with = "--aor sip:a@example.com --registrar sip:example.com answer";
    assert_eq!(settings(with).unwrap().listen.port(), 0);
    assert_eq!(settings(&format!("{with} --no-register")).unwrap().listen.port(), 5060);
    assert_eq!(settings("--listen [::1]:5070 answer").unwrap().listen.to_string(), "[::1]:5070");
}

#[test]
fn register_finds_its_registrar_in_the_aor() {
    let registrar = |line: &str| settings(line).unwrap().registrar;
    assert_eq!(registrar("--aor sip:a@example.com register").unwrap(), "sip:example.com");
    let both = "--aor sip:a@example.com --registrar sip:192.0.2.1:5080 register";
    assert_eq!(registrar(both).unwrap(), "sip:192.0.2.1:5080");
    assert_eq!(registrar("--aor sip:a@example.com answer"), None);
    assert_eq!(domain_of("sip:a@[::1]:5060;transport=tcp"), "sip:[::1]:5060;transport=tcp");
}

#[test]
fn every_option_has_a_key_and_the_command_line_wins() {
    let text = r#"
        aor = "sip:a@example.com"
        registrar = "sip:example.com"
        no-register = true
        expires = 60
        outbound-proxy = "sip:192.0.2.9;lr"
        codecs = "opus, pcmu"
        ptime = 40
        loop = true
        for = 3
        header = ["A: 1", "B: 2"]
        rtp-ports = "4000-4100"
        json = true
        dtmf-mode = "info"
    "#;
    let file = parse_config(text).unwrap();
    let words = ["softphone", "--ptime", "10", "--json=false", "--header", "C: 3", "answer"];
    let cli = Cli::try_parse_from(words).unwrap();
    let merged = merge(cli.options, file);
    let settings = Settings::resolve(merged, cli.command.as_ref()).unwrap();
    assert_eq!(settings.aor.as_deref(), Some("sip:a@example.com"));
    assert_eq!((settings.registrar, settings.expires), (None, Some(60)));
    assert_eq!(settings.outbound_proxies, ["sip:192.0.2.9;lr"]);
    assert_eq!(settings.codecs, ["opus", "pcmu"]);
    assert_eq!((settings.ptime, settings.json, settings.looped), (Some(10), false, true));
    assert_eq!(settings.headers, [("C".to_owned(), "3".to_owned())]);
    assert_eq!(settings.lasts, Some(Duration::from_secs(3)));
    assert_eq!(settings.rtp_ports, Some(4000..=4100));
    assert_eq!(settings.dtmf_mode, DtmfMode::Info);
}

#[test]
fn a_wrong_configuration_file_names_the_line() {
    let error = parse_config("json = true\nptiem = 20\n").unwrap_err();
    assert!(error.starts_with("line 2: ") && error.contains("ptiem"), "{error}");
    let error = parse_config("ptime = \"x\"\n").unwrap_err();
    assert!(error.starts_with("line 1: "), "{error}");
    // What the command line checks by itself is checked here too.
    for (text, named) in
        [("expires = 0", "--expires: "), ("ptime = 0", "--ptime: "), ("for = -1", "--for: ")]
    {
        let error = Settings::resolve(parse_config(text).unwrap(), None).unwrap_err().0;
        assert!(error.starts_with(named), "{text}: {error}");
    }
    let missing = read_config(Path::new("/nonexistent.toml")).unwrap_err().0;
    assert!(missing.starts_with("--config: /nonexistent.toml: "), "{missing}");
}

#[test]
fn the_password_comes_from_the_nearest_place() {
    let resolve = |cli: &str, file: &str, environment: Option<&str>| {
        let words = std::iter::once("softphone").chain(cli.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap();
        let environment = environment.map(str::to_owned);
        resolve_password(cli.options, parse_config(file).unwrap(), environment)
    };
    let path = std::env::temp_dir().join(format!("softphone-password-{}", std::process::id()));
    std::fs::write(&path, "from file\n").unwrap();
    let typed_file = format!("--password-file {} demo", path.display());
    let config = "password = \"from config\"";
    assert_eq!(resolve("--password typed demo", config, Some("env")), "typed");
    assert_eq!(resolve(&typed_file, config, Some("env")), "from file");
    assert_eq!(resolve("demo", config, Some("env")), "env");
    assert_eq!(resolve("demo", config, None), "from config");
    std::fs::remove_file(&path).unwrap();
}

fn resolve_password(cli: Options, file: Options, environment: Option<String>) -> String {
    let merged = merge(with_environment(cli, environment), file);
    let settings = Settings::resolve(merged, None).unwrap();
    settings.password.unwrap().expose().to_owned()
}
