//! A telephone for the command line, built on `tiny-ua`: see `softphone --help`.
//!
//! One file an idea: `cli` and `settings` say what was asked for, `phone` makes the agent, `calls`
//! follows a call, `commands` does what each command is for, `events` speaks, `recorder` and
//! `report` write down, `compare` listens, `demo` shows it all.

// Speaking on stdout is what this program is for.
#![allow(clippy::print_stdout)]

mod calls;
mod cli;
mod commands;
mod compare;
mod demo;
mod events;
mod interactive;
mod phone;
mod recorder;
mod report;
mod script;
mod settings;
mod subscribe;

use calls::Reception;
use clap::Parser;
use cli::{Cli, Command};
use events::{Event, Reporter};
use phone::{Failure, Stop};
use settings::{Problem, Settings};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) if !e.use_stderr() => {
            let _ = e.print();
            return ExitCode::SUCCESS;
        }
        Err(e) => {
            let json = std::env::args().any(|a| a == "--json" || a == "--json=true");
            return usage(&Reporter::new(json), &Problem(cli::one_line(&e)));
        }
    };
    let json = cli.options.json.unwrap_or(false);
    let (command, settings) = match understand(cli) {
        Ok(understood) => understood,
        Err(problem) => return usage(&Reporter::new(json), &problem),
    };
    log(settings.verbose);
    if settings.tls.insecure {
        tracing::warn!("--insecure: servers are not checked; anybody can listen in");
    }
    let reporter = Reporter::new(settings.json);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(command, settings, reporter.clone())),
        Err(e) => Err(Failure::Failed(format!("cannot start: {e}"))),
    };
    reporter.live("");
    match result {
        Ok(code) => code,
        Err(Failure::Usage(problem)) => usage(&reporter, &problem),
        Err(Failure::Failed(what)) => {
            reporter.event(&Event::Error { what });
            ExitCode::from(1)
        }
        Err(Failure::Said) => ExitCode::from(1),
    }
}

/// One line about what was wrong with the command line.
fn usage(reporter: &Reporter, problem: &Problem) -> ExitCode {
    if reporter.is_json() {
        reporter.event(&Event::Error { what: problem.0.clone() });
    }
    reporter.complain(&problem.0);
    ExitCode::from(2)
}

fn understand(cli: Cli) -> Result<(Option<Command>, Settings), Problem> {
    let Cli { command, options } = cli;
    if command.is_none() && !std::io::stdin().is_terminal() {
        let what = "a command is needed where there is no terminal, e.g. `softphone answer` \
                    (softphone --help lists all)";
        return Err(Problem(what.into()));
    }
    let file = options.config.as_deref().map(settings::read_config).transpose()?;
    let password = std::env::var("SOFTPHONE_PASSWORD").ok();
    let options = settings::with_environment(options, password);
    let options = settings::merge(options, file.unwrap_or_default());
    let settings = Settings::resolve(options, command.as_ref())?;
    Ok((command, settings))
}

/// Logs go to stderr: warnings always, more with `-v`.
fn log(verbose: u8) {
    let level = match verbose {
        0 => tracing_subscriber::filter::LevelFilter::WARN,
        1 => tracing_subscriber::filter::LevelFilter::INFO,
        2 => tracing_subscriber::filter::LevelFilter::DEBUG,
        _ => tracing_subscriber::filter::LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

async fn run(
    command: Option<Command>,
    settings: Settings,
    reporter: Reporter,
) -> Result<ExitCode, Failure> {
    match command {
        Some(Command::Devices) => return commands::devices(&reporter).map(|()| ExitCode::SUCCESS),
        Some(Command::Codecs) => {
            commands::codecs(&reporter);
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let stop = Stop::on_signals()?;
    let asked = stop.clone();
    let result = match command {
        Some(Command::Register) => commands::register(settings, reporter, stop).await,
        Some(Command::Call { uri }) => commands::call(settings, reporter, stop, &uri).await,
        Some(Command::Answer { after, reject, busy }) => {
            let reception = match reject.or(busy.then_some(486)) {
                Some(status) => Reception::Reject(status),
                None => Reception::Answer(Duration::from_secs_f64(after)),
            };
            commands::answer(settings, reporter, stop, reception).await
        }
        Some(Command::Message { uri, text }) => {
            commands::message(settings, reporter, stop, &uri, &text).await
        }
        Some(Command::Options { uri }) => commands::options(settings, reporter, stop, &uri).await,
        Some(Command::Demo) => demo::run(settings, reporter, stop).await,
        None => interactive::run(settings, reporter, stop).await,
        Some(Command::Subscribe { package, uri }) => {
            subscribe::run(settings, reporter, stop, &package, &uri).await
        }
        Some(Command::Devices | Command::Codecs) => Ok(()),
    };
    match result {
        // Interrupted is interrupted, however the call took it.
        _ if asked.is_set() => Ok(ExitCode::from(130)),
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) => Err(e),
    }
}
