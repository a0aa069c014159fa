//! What each command does.

use crate::calls::{Follow, Notes, Outcome, Reception, follow, go_on, receive};
use crate::cli::Command;
use crate::events::Reporter;
use crate::phone::{Desk, Failure, Phone, Registration, Stop, check_audio, check_writable};
use crate::report::{self, Report};
use crate::settings::{Problem, Settings, uri_of};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tiny_ua::{HeaderName, IncomingCall, Method, SipMessage};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until};

/// More calls than this at once are counted for people, not told one by one.
const FEW: u64 = 8;

/// Stays registered until told to stop.
pub(crate) async fn register(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
) -> Result<(), Failure> {
    let until = settings.lasts.map(|span| Instant::now() + span);
    let mut desk =
        Desk::open(settings, reporter, stop.clone(), Some(&Command::Register), None, None).await?;
    let refuse = refuse_calls(&mut desk);
    let (mut stop, mut state) = (stop, desk.phone.registration.clone());
    let lost = tokio::select! {
        () = stop.wait() => false,
        () = at(until) => false,
        _ = state.wait_for(|r| *r == Registration::Failed) => true,
    };
    refuse.abort();
    finish(desk, None, "Registration").await?;
    if lost { Err(Failure::Said) } else { Ok(()) }
}

/// Places a call.
pub(crate) async fn call(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
    uri: &str,
) -> Result<(), Failure> {
    let uri = uri_of("<URI>", uri.to_owned())?;
    check_report(&settings)?;
    let mut desk = Desk::open(settings, reporter, stop, None, Some(&uri), None).await?;
    let phone = desk.phone.clone();
    let notes = notes_for(&phone);
    let refuse = refuse_calls(&mut desk);
    let mut result = place(&phone, &uri, notes.clone()).await;
    // Whoever was sent to somebody else stays on the line.
    while let Ok(call) = desk.continued.try_recv() {
        let outcome = go_on(phone.clone(), call, true).await;
        if outcome.answered {
            result = Ok(outcome);
        }
    }
    refuse.abort();
    finish(desk, notes, &format!("Call to {uri}")).await?;
    if result?.is_good() { Ok(()) } else { Err(Failure::Said) }
}

async fn place(phone: &Arc<Phone>, uri: &str, notes: Option<Notes>) -> Result<Outcome, Failure> {
    check_audio(&phone.ua, &phone.settings)?;
    let number = phone.number();
    let mut builder = phone.account.call(uri).audio(phone.audio(number));
    for (name, value) in &phone.settings.headers {
        builder = builder.header(name, value);
    }
    let call = builder.await?;
    let how = Follow { number, notes, limited: true, live: true, ..Follow::default() };
    Ok(follow(phone, call, how).await)
}

/// Waits for calls and answers them.
pub(crate) async fn answer(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
    reception: Reception,
) -> Result<(), Failure> {
    check_report(&settings)?;
    let until = settings.lasts.map(|span| Instant::now() + span);
    let mut desk = Desk::open(settings, reporter, stop.clone(), None, None, None).await?;
    let phone = desk.phone.clone();
    if let Reception::Answer(_) = reception
        && let Err(problem) = check_audio(&phone.ua, &phone.settings)
    {
        phone.ua.shutdown().await;
        return Err(problem.into());
    }
    let notes = notes_for(&phone);
    let (mut stop, mut state) = (stop, phone.registration.clone());
    let mut calls = JoinSet::new();
    let (mut answered, mut missed) = (0_u64, 0_u64);
    let mut summary = interval(Duration::from_secs(1));
    let mut crowded = false;
    loop {
        tokio::select! {
            incoming = desk.incoming.recv() => {
                let Some(incoming) = incoming else { break };
                let number = phone.number();
                let quiet = calls.len() as u64 >= FEW;
                crowded |= quiet;
                let notes = notes.clone().filter(|_| number == 1);
                let live = calls.is_empty();
                let how = Follow { number, quiet, notes, live, ..Follow::default() };
                calls.spawn(receive(phone.clone(), incoming, reception, how));
            }
            Some(call) = desk.continued.recv() => {
                calls.spawn(go_on(phone.clone(), call, false));
            }
            Some(done) = calls.join_next(), if !calls.is_empty() => {
                match done {
                    Ok(outcome) if outcome.answered => answered += 1,
                    _ => missed += 1,
                }
            }
            _ = summary.tick(), if crowded => {
                crowded = !calls.is_empty();
                let up = calls.len();
                phone.reporter.say(&format!("{up} calls now, {answered} answered and over, {missed} not"));
            }
            () = stop.wait() => break,
            () = at(until) => break,
            _ = state.wait_for(|r| *r == Registration::Failed) => break,
        }
    }
    let lost = *phone.registration.borrow() == Registration::Failed && !stop.is_set();
    // Shutting down ends the calls; each says so.
    phone.ua.shutdown().await;
    let rest = async { while calls.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(2), rest).await;
    finish(desk, notes, "Answered calls").await?;
    if lost { Err(Failure::Said) } else { Ok(()) }
}

/// Sends a text message.
pub(crate) async fn message(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
    uri: &str,
    text: &str,
) -> Result<(), Failure> {
    let body = Some(("text/plain;charset=UTF-8", text));
    let answer = request(settings, reporter.clone(), stop, Method::Message, uri, body).await?;
    reporter.say(&format!("accepted: {}", status_of(&answer)));
    Ok(())
}

/// Asks a peer what it supports.
pub(crate) async fn options(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
    uri: &str,
) -> Result<(), Failure> {
    let answer = request(settings, reporter.clone(), stop, Method::Options, uri, None).await?;
    const SHOWN: [(HeaderName, &str); 8] = [
        (HeaderName::Allow, "allow"),
        (HeaderName::Accept, "accept"),
        (HeaderName::AcceptEncoding, "accept_encoding"),
        (HeaderName::AcceptLanguage, "accept_language"),
        (HeaderName::Supported, "supported"),
        (HeaderName::AllowEvents, "allow_events"),
        (HeaderName::UserAgent, "user_agent"),
        (HeaderName::Server, "server"),
    ];
    let found = SHOWN.map(|(name, key)| {
        let lines: Vec<&str> = answer.headers(name).collect();
        (key, (!lines.is_empty()).then(|| lines.join(", ")))
    });
    if reporter.is_json() {
        let mut object = serde_json::Map::new();
        object.insert("event".into(), "options".into());
        object.insert("status".into(), answer.status().map(|s| s.code()).into());
        for (key, value) in found {
            object.insert(key.into(), value.into());
        }
        reporter.object(object);
        return Ok(());
    }
    reporter.say(&status_of(&answer));
    for (key, value) in found {
        if let Some(value) = value {
            reporter.say(&format!("{:<16} {value}", key.replace('_', "-")));
        }
    }
    Ok(())
}

async fn request(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
    method: Method,
    uri: &str,
    body: Option<(&str, &str)>,
) -> Result<SipMessage, Failure> {
    let uri = uri_of("<URI>", uri.to_owned())?;
    check_report(&settings)?;
    let title = format!("{method} to {uri}");
    let until = settings.lasts.map(|span| Instant::now() + span);
    let mut desk = Desk::open(settings, reporter, stop.clone(), None, Some(&uri), None).await?;
    let refuse = refuse_calls(&mut desk);
    let mut request = desk.phone.account.request(method, &uri);
    for (name, value) in &desk.phone.settings.headers {
        request = request.header(name, value);
    }
    request = match body {
        Some((kind, text)) => request.body(kind, text),
        None => request.header("Accept", "application/sdp"),
    };
    let mut stop = stop;
    let answer = tokio::select! {
        answer = request.send() => answer.map_err(Failure::from),
        () = stop.wait() => Err(Failure::Said),
        () = at(until) => Err(Failure::Failed("no answer within --for".into())),
    };
    refuse.abort();
    finish(desk, None, &title).await?;
    answer
}

/// Lists sound devices.
pub(crate) fn devices(reporter: &Reporter) -> Result<(), Failure> {
    let mut none = true;
    for backend in tiny_dav::builtin_registry().backends() {
        let devices = backend.devices().map_err(|e| Failure::Failed(e.to_string()))?;
        for d in devices {
            none = false;
            let kind = match d.kind {
                tiny_ua::DeviceKind::Input => "input",
                tiny_ua::DeviceKind::Output => "output",
            };
            if reporter.is_json() {
                let mut object = serde_json::Map::new();
                object.insert("event".into(), "device".into());
                object.insert("kind".into(), format!("audio-{kind}").into());
                object.insert("id".into(), d.id.into());
                object.insert("name".into(), d.name.into());
                object.insert("default".into(), d.is_default.into());
                object.insert("sample_rate".into(), d.format.map(|f| f.rate).into());
                object.insert("channels".into(), d.format.map(|f| f.channels).into());
                reporter.object(object);
                continue;
            }
            let format = d.format.map(|f| format!(", {} Hz, {} channels", f.rate, f.channels));
            let default = if d.is_default { ", default" } else { "" };
            reporter.say(&format!(
                "{}\taudio {kind}{default}{}\t{}",
                d.id,
                format.unwrap_or_default(),
                d.name
            ));
        }
    }
    if none {
        let note = "no sound devices; --input tone:440, silence or file.wav and --output null or \
                    file.wav need none";
        reporter.complain(note);
    }
    Ok(())
}

/// Lists codecs.
pub(crate) fn codecs(reporter: &Reporter) {
    for codec in tiny_dav::builtin_registry().codecs() {
        let d = codec.description();
        let name = d.name.to_ascii_lowercase();
        if reporter.is_json() {
            let mut object = serde_json::Map::new();
            object.insert("event".into(), "codec".into());
            object.insert("name".into(), name.into());
            object.insert("clock_rate".into(), d.clock_rate.into());
            object.insert("sample_rate".into(), d.format.rate.into());
            object.insert("channels".into(), d.format.channels.into());
            object.insert("ptime".into(), d.ptime_ms.into());
            object.insert("fmtp".into(), d.fmtp.0.clone().into());
            reporter.object(object);
            continue;
        }
        let channels = if d.format.channels == 1 { "mono" } else { "stereo" };
        let rate = f64::from(d.format.rate) / 1000.0;
        let line = format!("{name}\t{rate} kHz {channels}, {} ms\t{}", d.ptime_ms, d.fmtp.0);
        reporter.say(line.trim_end());
    }
}

fn status_of(message: &SipMessage) -> String {
    format!("{} {}", message.status().map_or(0, |s| s.code()), message.reason())
}

/// Waits for a moment; forever when there is none.
pub(crate) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Answers 486 to whoever calls while something else is going on.
pub(crate) fn refuse_calls(desk: &mut Desk) -> tokio::task::JoinHandle<()> {
    let (_, none) = mpsc::channel::<IncomingCall>(1);
    let mut incoming = std::mem::replace(&mut desk.incoming, none);
    tokio::spawn(async move {
        while let Some(call) = incoming.recv().await {
            call.reject(486);
        }
    })
}

/// Whether the report can be written, before there is something to report.
pub(crate) fn check_report(settings: &Settings) -> Result<(), Problem> {
    settings.report.as_deref().map_or(Ok(()), |path| check_writable("--report", path))
}

/// A place for a call's figures, when somebody wants to see them later.
pub(crate) fn notes_for(phone: &Phone) -> Option<Notes> {
    let name = phone.account.aor().to_owned();
    let notes = report::Phone { name, ..report::Phone::default() };
    phone.settings.report.is_some().then(|| Arc::new(notes.into()))
}

/// Ends everything and writes the report.
pub(crate) async fn finish(desk: Desk, notes: Option<Notes>, title: &str) -> Result<(), Failure> {
    let phone = desk.phone.clone();
    let Some(ladder) = desk.close().await else { return Ok(()) };
    if let Some(trouble) = &ladder.trouble {
        phone.reporter.complain(trouble);
    }
    let Some(path) = &phone.settings.report else { return Ok(()) };
    let noted = notes.map(|n| n.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let page = Report {
        title: title.to_owned(),
        subtitle: format!("{} · {}", phone.account.aor(), date(phone.reporter.started())),
        verdict: None,
        participants: ladder.participants,
        rows: ladder.rows,
        phones: noted.into_iter().collect(),
    };
    write_report(path, &page)
}

pub(crate) fn write_report(path: &Path, page: &Report) -> Result<(), Failure> {
    std::fs::write(path, report::html(page))
        .map_err(|e| Failure::Failed(format!("--report: {}: {e}", path.display())))
}

/// A moment as a date in UTC; the calendar is Howard Hinnant's `civil_from_days`.
pub(crate) fn date(moment: std::time::SystemTime) -> String {
    let since = moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_across_leap_years() {
        let at = |s| date(std::time::UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_795_305_599), "2026-11-21 23:59:59 UTC");
    }
}
