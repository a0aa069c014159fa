//! The command line: what can be typed, and what each thing means. Checking and merging with the
//! configuration file is `settings`.

use clap::{ArgAction, Args, Parser, Subcommand};
use serde::Deserialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  softphone demo
  softphone --input tone:440 --output heard.wav call sip:bob@192.0.2.7
  softphone --aor sip:1001@example.com --password-file pw.txt register
  softphone --aor sip:1001@example.com --registrar sip:example.com --input silence --output null answer
  softphone --json --listen 127.0.0.1:5070 --for 60 answer --after 2

Not in this build: --video --video-input --video-output

Exit status: 0 done; 1 the call or request failed; 2 a wrong option or setting; 130 interrupted.
Options may stand before or after the command. On a terminal, no command starts the interactive phone.";

/// Packet times that codecs can do something with, in ms.
pub(crate) const PTIME: std::ops::RangeInclusive<i64> = 1..=200;

/// A telephone for the command line.
#[derive(Debug, Parser)]
#[command(name = "softphone", version, after_help = EXAMPLES, max_term_width = 110,
          args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(crate) enum Command {
    /// Stay registered until Ctrl-C (or --for)
    Register,
    /// Place a call; exit 0 if it was answered and ended normally
    Call {
        /// Whom to call, e.g. sip:bob@example.com
        #[arg(value_name = "URI")]
        uri: String,
    },
    /// Wait for calls and answer them
    Answer {
        /// Let it ring this long before answering
        #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds,
              allow_negative_numbers = true)]
        after: f64,
        /// Refuse every call with this status (300 to 699) instead
        #[arg(long, value_name = "CODE", conflicts_with = "busy",
              value_parser = clap::value_parser!(u16).range(300..=699))]
        reject: Option<u16>,
        /// Refuse every call as busy (486)
        #[arg(long)]
        busy: bool,
    },
    /// Send a text message; exit 0 when it was accepted
    Message {
        /// To whom, e.g. sip:bob@example.com
        #[arg(value_name = "URI")]
        uri: String,
        /// What to say
        #[arg(value_name = "TEXT", allow_hyphen_values = true)]
        text: String,
    },
    /// Ask a peer what it supports (OPTIONS)
    Options {
        /// Whom to ask, e.g. sip:example.com
        #[arg(value_name = "URI")]
        uri: String,
    },
    /// Watch presence, message-summary, dialog or another event package
    Subscribe {
        /// The event package
        #[arg(value_name = "EVENT")]
        package: String,
        /// Whose
        #[arg(value_name = "URI")]
        uri: String,
    },
    /// List audio devices, one a line, with stable ids
    Devices,
    /// List the codecs in this build, in preference order
    Codecs,
    /// Two phones and a registrar in one process, one real call over loopback
    Demo,
}

/// Every option of the command line and, by the same names, of the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Options {
    /// Read options from a TOML file, a key for each option; the command line wins
    #[arg(long, global = true, value_name = "FILE", help_heading = "Identity")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Who I am; default sip:softphone@<listen address>
    #[arg(long, global = true, value_name = "URI", help_heading = "Identity")]
    pub(crate) aor: Option<String>,
    /// My name as others see it
    #[arg(long, global = true, value_name = "NAME", help_heading = "Identity")]
    pub(crate) display: Option<String>,
    /// Register here first (needs --aor)
    #[arg(long, global = true, value_name = "URI", help_heading = "Identity")]
    pub(crate) registrar: Option<String>,
    /// How long a registration is asked for
    #[arg(long, global = true, value_name = "S", help_heading = "Identity",
          value_parser = clap::value_parser!(u32).range(1..), allow_negative_numbers = true)]
    pub(crate) expires: Option<u32>,
    /// Do not register, though a registrar is given
    #[arg(long, global = true, help_heading = "Identity", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub(crate) no_register: Option<bool>,
    /// The user name for authentication; default the user of --aor
    #[arg(long, global = true, value_name = "U", help_heading = "Identity")]
    pub(crate) auth_user: Option<String>,
    /// The password; others on this machine may see it: prefer --password-file or SOFTPHONE_PASSWORD
    #[arg(
        long,
        global = true,
        value_name = "P",
        help_heading = "Identity",
        conflicts_with = "password_file",
        allow_hyphen_values = true
    )]
    pub(crate) password: Option<String>,
    /// The password is the first line of this file
    #[arg(long, global = true, value_name = "F", help_heading = "Identity")]
    pub(crate) password_file: Option<PathBuf>,

    /// Send everything through this proxy (repeatable: a route of several)
    #[arg(long, global = true, value_name = "URI", help_heading = "Network")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) outbound_proxy: Vec<String>,
    /// Preferred transport: udp, tcp, tls, ws, wss. Default: what the domain's DNS records say
    #[arg(long, global = true, value_name = "T", help_heading = "Network")]
    pub(crate) transport: Option<String>,
    /// Where to listen for SIP; port 0 picks one. Default 0.0.0.0:0, and 0.0.0.0:5060 for `answer`
    /// without a registrar
    #[arg(long, global = true, value_name = "ADDR:PORT", help_heading = "Network")]
    pub(crate) listen: Option<String>,
    /// The address that media binds to
    #[arg(long, global = true, value_name = "ADDR", help_heading = "Network")]
    pub(crate) media_address: Option<String>,
    /// The ports that media takes
    #[arg(long, global = true, value_name = "A-B", help_heading = "Network")]
    pub(crate) rtp_ports: Option<String>,
    /// Encryption of media: off, optional (default); sdes or dtls, or no call
    #[arg(long, global = true, value_name = "MODE", help_heading = "Network")]
    pub(crate) srtp: Option<String>,
    /// Find a way for media through NATs and firewalls (ICE)
    #[arg(long, global = true, help_heading = "Network", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub(crate) ice: Option<bool>,
    /// Let the other side find it: for machines with a public address
    #[arg(long, global = true, help_heading = "Network", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub(crate) ice_lite: Option<bool>,
    /// Ask this server for our outer address, e.g. stun:stun.example.com (repeatable; means --ice)
    #[arg(long, global = true, value_name = "URI", help_heading = "Network")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) stun: Vec<String>,
    /// Let this relay carry media if nothing else can, e.g. turn:name:password@turn.example.com,
    /// turns:… for TLS, …?transport=tcp (repeatable; means --ice). Others on this machine may see the
    /// password: prefer --config
    #[arg(long, global = true, value_name = "URI", help_heading = "Network")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) turn: Vec<String>,
    /// Call as browsers do: ICE, DTLS-SRTP, BUNDLE, one port, the profile SAVPF
    #[arg(long, global = true, help_heading = "Network", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub(crate) webrtc: Option<bool>,
    /// Ask this name server, and not the system's
    #[arg(long, global = true, value_name = "ADDR[:PORT]", help_heading = "Network")]
    pub(crate) dns_server: Option<String>,
    /// Trust the servers that these authorities vouch for (PEM or DER), and no others
    #[arg(long, global = true, value_name = "FILE", help_heading = "Network")]
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate and its chain. With it, TLS is taken one port above --listen
    #[arg(long, global = true, value_name = "FILE", help_heading = "Network")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert
    #[arg(long, global = true, value_name = "FILE", help_heading = "Network")]
    pub(crate) key: Option<PathBuf>,
    /// Believe every server, whoever it is: anybody can listen in
    #[arg(long, global = true, help_heading = "Network", num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    pub(crate) insecure: Option<bool>,

    /// Codecs to offer and accept, best first, e.g. opus,g722,pcmu,pcma
    #[arg(
        long,
        global = true,
        value_name = "A,B,C",
        help_heading = "Media",
        value_delimiter = ','
    )]
    #[serde(deserialize_with = "comma_or_many")]
    pub(crate) codecs: Vec<String>,
    /// Milliseconds of sound in a packet
    #[arg(long, global = true, value_name = "MS", help_heading = "Media",
          value_parser = clap::value_parser!(u32).range(PTIME), allow_negative_numbers = true)]
    pub(crate) ptime: Option<u32>,
    /// What they hear: default, a device id, file.wav, tone:440, silence
    #[arg(long, global = true, value_name = "SRC", help_heading = "Media")]
    pub(crate) input: Option<String>,
    /// Repeat an input file
    #[arg(long = "loop", global = true, help_heading = "Media", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", hide_possible_values = true,
          value_name = "BOOL")]
    #[serde(rename = "loop")]
    pub(crate) looped: Option<bool>,
    /// Where what I hear goes: default, a device id, file.wav, null
    #[arg(long, global = true, value_name = "DST", help_heading = "Media")]
    pub(crate) output: Option<String>,
    /// Record both directions into a stereo WAV: left what is sent, right what is heard
    #[arg(long, global = true, value_name = "FILE", help_heading = "Media")]
    pub(crate) record: Option<PathBuf>,
    #[arg(long, global = true, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide = true)]
    pub(crate) video: Option<bool>,
    #[arg(long, global = true, value_name = "SRC", hide = true)]
    pub(crate) video_input: Option<String>,
    #[arg(long, global = true, value_name = "DST", hide = true)]
    pub(crate) video_output: Option<String>,

    /// Press these keys once the call is up: 0-9 * # A-D
    #[arg(long, global = true, value_name = "DIGITS", help_heading = "Call")]
    pub(crate) dtmf: Option<String>,
    /// How keys travel: rfc4733 (default), info, inband
    #[arg(long, global = true, value_name = "MODE", help_heading = "Call")]
    pub(crate) dtmf_mode: Option<String>,
    /// End after this long: a call that much after its answer, everything else after the start
    #[arg(long = "for", global = true, value_name = "SECONDS", help_heading = "Call",
          value_parser = seconds, allow_negative_numbers = true)]
    #[serde(rename = "for")]
    pub(crate) for_seconds: Option<f64>,
    /// What to do when, in seconds after the answer: lines like `2.0 hold`, `4 resume`,
    /// `7.5 dtmf 1#`, `9 hangup`
    #[arg(long, global = true, value_name = "FILE", help_heading = "Call")]
    pub(crate) script: Option<PathBuf>,
    /// An extra header on the initial request (repeatable)
    #[arg(long, global = true, value_name = "'NAME: VALUE'", help_heading = "Call")]
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) header: Vec<String>,

    /// One JSON object a line on stdout, and nothing else there
    #[arg(long, global = true, help_heading = "Reports", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub(crate) json: Option<bool>,
    /// Write SIP and media packets as pcapng, for Wireshark
    #[arg(long, global = true, value_name = "FILE", help_heading = "Reports")]
    pub(crate) trace: Option<PathBuf>,
    /// After the call, write a page with ladder diagram and quality plots
    #[arg(long, global = true, value_name = "FILE.html", help_heading = "Reports")]
    pub(crate) report: Option<PathBuf>,
    /// Log more to stderr (-vv: even more)
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Reports")]
    pub(crate) verbose: u8,
}

/// A span in seconds, as people type it.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s.is_finite() && (0.0..=1e9).contains(&s) => Ok(s),
        _ => Err("expected seconds, e.g. 2 or 0.5".into()),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(d)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

fn comma_or_many<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Ok(match OneOrMany::deserialize(d)? {
        OneOrMany::One(one) => one.split(',').map(|s| s.trim().to_owned()).collect(),
        OneOrMany::Many(many) => many,
    })
}

/// A clap error as one line.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut line = String::new();
    for part in text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:")) {
        if part.is_empty() || part.starts_with("For more information") {
            continue;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    line.push_str(" (softphone --help lists all)");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("softphone").chain(line.split(' ')))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_command() {
        let a = parse("--json --for 2.5 call sip:bob@example.com").unwrap();
        let b = parse("call sip:bob@example.com --json --for 2.5").unwrap();
        assert_eq!(a.options, b.options);
        assert_eq!(a.options.for_seconds, Some(2.5));
        assert_eq!(a.command, Some(Command::Call { uri: "sip:bob@example.com".into() }));
    }

    #[test]
    fn the_last_of_two_equal_options_wins() {
        let cli = parse("--for 1 --for 2 --input silence --input tone:440 answer").unwrap();
        assert_eq!(cli.options.for_seconds, Some(2.0));
        assert_eq!(cli.options.input.as_deref(), Some("tone:440"));
    }

    #[test]
    fn repeatable_options_repeat_and_lists_split() {
        let cli = parse("--header A:1 --header B:2 --codecs opus,pcmu answer --busy").unwrap();
        assert_eq!(cli.options.header, ["A:1", "B:2"]);
        assert_eq!(cli.options.codecs, ["opus", "pcmu"]);
        assert!(matches!(cli.command, Some(Command::Answer { busy: true, .. })));
    }

    #[test]
    fn a_wrong_option_is_one_line_that_names_it() {
        for (typed, named) in [
            ("--fro 3 demo", "--fro"),
            ("--for soon demo", "--for"),
            ("--for -1 demo", "--for"),
            ("--ptime -20 demo", "--ptime"),
            ("--ptime 0 demo", "--ptime"),
            ("answer --reject 200", "--reject"),
            ("answer --reject 404 --busy", "--busy"),
            ("call", "<URI>"),
            ("dance", "dance"),
        ] {
            let line = one_line(&parse(typed).unwrap_err());
            assert!(line.contains(named) && !line.contains('\n'), "{typed}: {line}");
        }
    }
}
