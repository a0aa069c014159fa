//! From what was typed and configured to checked settings, or one line that names the option.

use crate::cli::{Command, Options, PTIME};
use crate::script::{self, Script, check_digits};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tiny_ua::tls::{Identity, Material, Roots, TlsConfig};
use tiny_ua::{DtmfMode, Ice, IceServer, Secret, Srtp, Transport};

/// A usage or configuration error: one line; the exit status is 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) String);

impl Problem {
    pub(crate) fn new(option: &str, what: impl std::fmt::Display) -> Self {
        Self(format!("{option}: {what}"))
    }
}

/// Checked options.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) aor: Option<String>,
    pub(crate) display: Option<String>,
    /// Where to register first; `None` when not to.
    pub(crate) registrar: Option<String>,
    pub(crate) expires: Option<u32>,
    pub(crate) auth_user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) outbound_proxies: Vec<String>,
    pub(crate) transport: Option<Transport>,
    /// Trust and identity under TLS.
    pub(crate) tls: TlsConfig,
    pub(crate) dns_server: Option<SocketAddr>,
    pub(crate) listen: SocketAddr,
    pub(crate) media_address: Option<IpAddr>,
    pub(crate) rtp_ports: Option<RangeInclusive<u16>>,
    pub(crate) codecs: Vec<String>,
    pub(crate) ptime: Option<u32>,
    pub(crate) srtp: Srtp,
    pub(crate) ice: Ice,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) webrtc: bool,
    pub(crate) input: String,
    pub(crate) looped: bool,
    pub(crate) output: String,
    pub(crate) record: Option<PathBuf>,
    pub(crate) dtmf: Option<String>,
    pub(crate) dtmf_mode: DtmfMode,
    pub(crate) lasts: Option<Duration>,
    pub(crate) script: Script,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) json: bool,
    pub(crate) trace: Option<PathBuf>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) verbose: u8,
}

/// Puts the configuration file under the command line.
pub(crate) fn merge(cli: Options, file: Options) -> Options {
    fn many(cli: Vec<String>, file: Vec<String>) -> Vec<String> {
        if cli.is_empty() { file } else { cli }
    }
    // A password of either form on the command line hides both forms in the file.
    let typed = cli.password.is_some() || cli.password_file.is_some();
    let (password, password_file) =
        if typed { (cli.password, cli.password_file) } else { (file.password, file.password_file) };
    Options {
        config: cli.config,
        aor: cli.aor.or(file.aor),
        display: cli.display.or(file.display),
        registrar: cli.registrar.or(file.registrar),
        expires: cli.expires.or(file.expires),
        no_register: cli.no_register.or(file.no_register),
        auth_user: cli.auth_user.or(file.auth_user),
        password,
        password_file,
        outbound_proxy: many(cli.outbound_proxy, file.outbound_proxy),
        transport: cli.transport.or(file.transport),
        listen: cli.listen.or(file.listen),
        media_address: cli.media_address.or(file.media_address),
        rtp_ports: cli.rtp_ports.or(file.rtp_ports),
        srtp: cli.srtp.or(file.srtp),
        ice: cli.ice.or(file.ice),
        ice_lite: cli.ice_lite.or(file.ice_lite),
        stun: many(cli.stun, file.stun),
        turn: many(cli.turn, file.turn),
        webrtc: cli.webrtc.or(file.webrtc),
        dns_server: cli.dns_server.or(file.dns_server),
        ca: cli.ca.or(file.ca),
        cert: cli.cert.or(file.cert),
        key: cli.key.or(file.key),
        insecure: cli.insecure.or(file.insecure),
        codecs: many(cli.codecs, file.codecs),
        ptime: cli.ptime.or(file.ptime),
        input: cli.input.or(file.input),
        looped: cli.looped.or(file.looped),
        output: cli.output.or(file.output),
        record: cli.record.or(file.record),
        video: cli.video.or(file.video),
        video_input: cli.video_input.or(file.video_input),
        video_output: cli.video_output.or(file.video_output),
        dtmf: cli.dtmf.or(file.dtmf),
        dtmf_mode: cli.dtmf_mode.or(file.dtmf_mode),
        for_seconds: cli.for_seconds.or(file.for_seconds),
        script: cli.script.or(file.script),
        header: many(cli.header, file.header),
        json: cli.json.or(file.json),
        trace: cli.trace.or(file.trace),
        report: cli.report.or(file.report),
        verbose: if cli.verbose > 0 { cli.verbose } else { file.verbose },
    }
}

/// The password from the environment counts as typed, unless one was.
pub(crate) fn with_environment(mut cli: Options, password: Option<String>) -> Options {
    if cli.password.is_none() && cli.password_file.is_none() {
        cli.password = password;
    }
    cli
}

/// Reads a configuration file.
pub(crate) fn read_config(path: &Path) -> Result<Options, Problem> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Problem::new("--config", format!("{}: {e}", path.display())))?;
    parse_config(&text).map_err(|e| Problem::new("--config", format!("{}: {e}", path.display())))
}

fn parse_config(text: &str) -> Result<Options, String> {
    toml::from_str(text).map_err(|e| {
        let line = e.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let message = e.message().replace('\n', " ");
        match line {
            Some(line) => format!("line {line}: {message}"),
            None => message,
        }
    })
}

/// Refuses what this build cannot do yet, naming the option.
pub(crate) fn refuse_missing(options: &Options) -> Result<(), Problem> {
    let asked = [
        ("--video", options.video.unwrap_or(false)),
        ("--video-input", options.video_input.is_some()),
        ("--video-output", options.video_output.is_some()),
    ];
    match asked.iter().find(|(_, set)| *set) {
        Some((option, _)) => Err(Problem::new(option, "not in this build")),
        None => Ok(()),
    }
}

impl Settings {
    /// Checks everything that can be checked without opening anything but files.
    pub(crate) fn resolve(options: Options, command: Option<&Command>) -> Result<Self, Problem> {
        refuse_missing(&options)?;
        // The command line has its own check; these may come from the file.
        if options.expires == Some(0) {
            return Err(Problem::new("--expires", "0 is too short; expected seconds, e.g. 600"));
        }
        if let Some(ms) = options.ptime.filter(|ms| !PTIME.contains(&i64::from(*ms))) {
            let what = format!("{ms} is not in {}..={}", PTIME.start(), PTIME.end());
            return Err(Problem::new("--ptime", what));
        }
        let transport = options.transport.as_deref().map(transport).transpose()?;
        let (ice, ice_servers, webrtc) = ice(&options)?;
        let srtp = match options.srtp.as_deref() {
            None | Some("dtls") if webrtc => Srtp::Dtls,
            Some(mode) if webrtc => {
                let what = format!("'{mode}' does not go with --webrtc, which is dtls");
                return Err(Problem::new("--srtp", what));
            }
            None | Some("optional") => Srtp::Optional,
            Some("off") => Srtp::Off,
            Some("sdes") => Srtp::Sdes,
            Some("dtls") if cfg!(feature = "dtls") => Srtp::Dtls,
            Some(mode @ "dtls") => {
                return Err(Problem::new("--srtp", format!("{mode}: not in this build")));
            }
            Some(other) => {
                let what = format!("'{other}' is none of off, optional, sdes, dtls");
                return Err(Problem::new("--srtp", what));
            }
        };
        let aor = options.aor.map(|uri| uri_of("--aor", uri)).transpose()?;
        let named = options.registrar.map(|uri| uri_of("--registrar", uri)).transpose()?;
        let wanted = !options.no_register.unwrap_or(false);
        let registrar = match (named, &aor, command) {
            (_, None, Some(Command::Register)) => {
                let what = "register needs to know who I am, e.g. --aor sip:alice@example.com";
                return Err(Problem::new("--aor", what));
            }
            (_, _, Some(Command::Register)) if !wanted => {
                let what = "register does nothing else; leave this option out";
                return Err(Problem::new("--no-register", what));
            }
            (None, Some(aor), Some(Command::Register)) => Some(domain_of(aor)),
            (Some(_), None, _) if wanted => {
                let what = "needs --aor too, e.g. --aor sip:alice@example.com";
                return Err(Problem::new("--registrar", what));
            }
            (named, _, _) => named.filter(|_| wanted),
        };
        let dns_server = match options.dns_server.as_deref() {
            Some(text) => {
                let mut server = address("--dns-server", text)?;
                if server.port() == 0 {
                    server.set_port(53);
                }
                Some(server)
            }
            None => None,
        };
        let insecure = options.insecure.unwrap_or(false);
        let tls = tls(options.ca, options.cert, options.key, insecure)?;
        let mut proxies = Vec::new();
        for uri in options.outbound_proxy {
            proxies.push(uri_of("--outbound-proxy", uri)?);
        }
        let answering = matches!(command, Some(Command::Answer { .. }));
        let default_port = if answering && registrar.is_none() { 5060 } else { 0 };
        let listen = match options.listen {
            Some(text) => address("--listen", &text)?,
            None => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), default_port),
        };
        let script = options.script.as_deref().map(read_script).transpose()?;
        Ok(Self {
            aor,
            srtp,
            ice,
            ice_servers,
            webrtc,
            display: options.display,
            registrar,
            expires: options.expires,
            auth_user: options.auth_user,
            password: password(options.password, options.password_file)?,
            outbound_proxies: proxies,
            transport,
            tls,
            dns_server,
            listen,
            media_address: options.media_address.as_deref().map(media_address).transpose()?,
            rtp_ports: options.rtp_ports.as_deref().map(ports).transpose()?,
            codecs: options.codecs.iter().map(|c| c.trim().to_owned()).collect(),
            ptime: options.ptime,
            input: options.input.unwrap_or_else(|| "default".into()),
            looped: options.looped.unwrap_or(false),
            output: options.output.unwrap_or_else(|| "default".into()),
            record: options.record,
            dtmf: options
                .dtmf
                .map(|d| check_digits(&d).map_err(|e| Problem::new("--dtmf", e)))
                .transpose()?,
            dtmf_mode: options.dtmf_mode.as_deref().map_or(Ok(DtmfMode::Rfc4733), dtmf_mode)?,
            lasts: options.for_seconds.map(span).transpose()?,
            script: script.unwrap_or_default(),
            headers: options.header.iter().map(|h| header(h)).collect::<Result<_, _>>()?,
            json: options.json.unwrap_or(false),
            trace: options.trace,
            report: options.report,
            verbose: options.verbose,
        })
    }
}

/// A URI of ours or of a peer, or a sentence.
pub(crate) fn uri_of(option: &str, uri: String) -> Result<String, Problem> {
    match tiny_ua::UserAgent::check_uri(&uri) {
        Ok(()) => Ok(uri),
        Err(tiny_ua::Error::Config { reason, .. }) => Err(Problem::new(option, reason)),
        Err(other) => Err(Problem::new(option, other)),
    }
}

/// Whether and with whose help a way for media is looked for; whether as browsers do.
fn ice(options: &Options) -> Result<(Ice, Vec<IceServer>, bool), Problem> {
    let webrtc = options.webrtc.unwrap_or(false);
    if webrtc && !cfg!(feature = "dtls") {
        return Err(Problem::new("--webrtc", "not in this build"));
    }
    let lite = options.ice_lite.unwrap_or(false);
    let mut servers = Vec::new();
    for (option, scheme, uris) in
        [("--stun", "stun", &options.stun), ("--turn", "turn", &options.turn)]
    {
        for uri in uris {
            if lite {
                return Err(Problem::new(
                    option,
                    "--ice-lite asks no server; leave one of them out",
                ));
            }
            servers.push(server(option, scheme, uri)?);
        }
    }
    let wanted = options.ice.unwrap_or(webrtc || !servers.is_empty());
    if !wanted && webrtc {
        return Err(Problem::new("--ice", "--webrtc goes with it only"));
    }
    if !wanted && let Some(server) = servers.first() {
        return Err(Problem::new("--ice", format!("{server} goes with it only")));
    }
    let ice = match (lite, wanted) {
        (true, _) => Ice::Lite,
        (false, true) => Ice::Full,
        (false, false) => Ice::Off,
    };
    Ok((ice, servers, webrtc))
}

fn server(option: &str, scheme: &str, uri: &str) -> Result<IceServer, Problem> {
    // Not the whole of it in an error: there is a password in it.
    if !uri.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(scheme)) {
        return Err(Problem::new(option, format!("expected a URI that begins with {scheme}:")));
    }
    match uri.parse::<IceServer>() {
        Ok(server) => Ok(server),
        Err(tiny_ua::Error::Config { reason, .. }) => Err(Problem::new(option, reason)),
        Err(other) => Err(Problem::new(option, other)),
    }
}

/// What the files say, as far as it can be seen without a connection.
fn tls(
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    insecure: bool,
) -> Result<TlsConfig, Problem> {
    let readable = |option: &str, path: PathBuf| match std::fs::File::open(&path) {
        Ok(_) => Ok(Material::file(path)),
        Err(e) => Err(Problem::new(option, format!("{}: {e}", path.display()))),
    };
    let mut tls = TlsConfig::default();
    if let Some(path) = ca {
        tls.roots = Roots::Only(vec![readable("--ca", path)?]);
    }
    let identity = match (cert, key) {
        (None, None) => None,
        (Some(_), None) => return Err(Problem::new("--cert", "needs --key too")),
        (None, Some(_)) => return Err(Problem::new("--key", "needs --cert too")),
        (Some(cert), Some(key)) => {
            Some(Identity { chain: readable("--cert", cert)?, key: readable("--key", key)? })
        }
    };
    tls.client.clone_from(&identity);
    tls.server = identity;
    tls.insecure = insecure;
    Ok(tls)
}

/// `sip:` and the host part of an AOR: where its registrar is by default (RFC 3261 §10.2).
fn domain_of(aor: &str) -> String {
    let rest = aor.split_once(':').map_or(aor, |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(['?', '>']).next().unwrap_or(host);
    let scheme = if aor.to_ascii_lowercase().starts_with("sips:") { "sips" } else { "sip" };
    format!("{scheme}:{host}")
}

fn transport(name: &str) -> Result<Transport, Problem> {
    match name {
        "udp" => Ok(Transport::Udp),
        "tcp" => Ok(Transport::Tcp),
        "tls" => Ok(Transport::Tls),
        "ws" => Ok(Transport::Ws),
        "wss" => Ok(Transport::Wss),
        other => {
            let what = format!("'{other}' is none of udp, tcp, tls, ws, wss");
            Err(Problem::new("--transport", what))
        }
    }
}

fn address(option: &str, text: &str) -> Result<SocketAddr, Problem> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    match text.parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, 0)),
        Err(_) => {
            let what = format!("'{text}' is not an address and port; expected e.g. 0.0.0.0:5060");
            Err(Problem::new(option, what))
        }
    }
}

fn media_address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        let what = format!("'{text}' is not an IP address; expected e.g. 192.0.2.1");
        Problem::new("--media-address", what)
    })
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, Problem> {
    let range = text.split_once('-').and_then(|(a, b)| {
        let (a, b) = (a.trim().parse::<u16>().ok()?, b.trim().parse::<u16>().ok()?);
        // RTP and RTCP take a pair that begins with an even port (RFC 3550 §11).
        let first = u32::from(a) + u32::from(a % 2);
        (a > 0 && first < u32::from(b)).then_some(a..=b)
    });
    range.ok_or_else(|| {
        let what = format!("'{text}' holds no pair of ports; expected e.g. 16384-32767");
        Problem::new("--rtp-ports", what)
    })
}

fn dtmf_mode(name: &str) -> Result<DtmfMode, Problem> {
    match name {
        "rfc4733" => Ok(DtmfMode::Rfc4733),
        "info" => Ok(DtmfMode::Info),
        "inband" => Ok(DtmfMode::Inband),
        other => {
            let what = format!("'{other}' is none of rfc4733, info, inband");
            Err(Problem::new("--dtmf-mode", what))
        }
    }
}

fn span(seconds: f64) -> Result<Duration, Problem> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Problem::new("--for", format!("'{seconds}' is not a number of seconds")))
}

fn header(line: &str) -> Result<(String, String), Problem> {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
    match line.split_once(':') {
        Some((name, value))
            if !name.trim().is_empty()
                && name.trim().chars().all(token)
                && !value.contains(['\r', '\n', '\0']) =>
        {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => {
            let what = format!("{line:?} is not a header; expected e.g. 'Subject: lunch'");
            Err(Problem::new("--header", what))
        }
    }
}

fn password(given: Option<String>, file: Option<PathBuf>) -> Result<Option<Secret>, Problem> {
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Problem::new("--password-file", format!("{}: {e}", path.display())))?;
        let first = text.lines().next().unwrap_or("");
        return Ok(Some(Secret::from(first)));
    }
    Ok(given.map(Secret::from))
}

fn read_script(path: &Path) -> Result<Script, Problem> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Problem::new("--script", format!("{}: {e}", path.display())))?;
    script::parse(&text).map_err(|e| Problem::new("--script", format!("{}: {e}", path.display())))
}

#[cfg(test)]
mod tests;
