//! `softphone subscribe`: watches somebody's state and tells each change, as JSON or for people.

use crate::commands::{at, check_report, finish, refuse_calls};
use crate::events::Reporter;
use crate::phone::{Desk, Failure, Stop};
use crate::settings::{Settings, uri_of};
use serde_json::{Map, Value, json};
use tiny_ua::{Document, Notification, Subscription, SubscriptionState, SubscriptionUpdate};
use tokio::time::Instant;

/// Watches until told to stop, or until the subscription is over for good.
pub(crate) async fn run(
    settings: Settings,
    reporter: Reporter,
    stop: Stop,
    package: &str,
    uri: &str,
) -> Result<(), Failure> {
    let uri = uri_of("<URI>", uri.to_owned())?;
    check_report(&settings)?;
    let until = settings.lasts.map(|span| Instant::now() + span);
    let mut desk =
        Desk::open(settings, reporter.clone(), stop.clone(), None, Some(&uri), None).await?;
    let refuse = refuse_calls(&mut desk);
    let mut builder = desk.phone.account.subscribe(package, &uri).lists();
    for (name, value) in &desk.phone.settings.headers {
        builder = builder.header(name, value);
    }
    let mut interrupted = stop;
    let result = tokio::select! {
        subscription = async { builder.await } => match subscription {
            Ok(subscription) => {
                watch(&subscription, &reporter, package, &uri, &mut interrupted, until).await
            }
            Err(e) => Err(e.into()),
        },
        () = interrupted.wait() => Err(Failure::Said),
        () = at(until) => Err(Failure::Failed("no answer within --for".into())),
    };
    refuse.abort();
    finish(desk, None, &format!("{package} of {uri}")).await?;
    result
}

async fn watch(
    subscription: &Subscription,
    reporter: &Reporter,
    package: &str,
    uri: &str,
    stop: &mut Stop,
    until: Option<Instant>,
) -> Result<(), Failure> {
    loop {
        let update = tokio::select! {
            update = subscription.next_event() => update,
            () = stop.wait() => return Ok(()),
            () = at(until) => return Ok(()),
        };
        match update {
            Some(SubscriptionUpdate::Notify(notification)) => {
                show(reporter, package, uri, &notification);
            }
            Some(SubscriptionUpdate::Ended { text, retry_in: Some(pause), .. }) => {
                let seconds = pause.as_secs();
                reporter.complain(&format!("{package}: {text}; again in {seconds} s"));
            }
            Some(SubscriptionUpdate::Ended { text, .. }) => {
                return Err(Failure::Failed(format!("{package}: {text}")));
            }
            None => return Ok(()),
            Some(_) => {}
        }
    }
}

fn show(reporter: &Reporter, package: &str, uri: &str, notification: &Notification) {
    let document = notification.document();
    let summary = match &document {
        Ok(Some(document)) => summary(document),
        Ok(None) => "no state".to_owned(),
        Err(e) => format!("unreadable state: {e}"),
    };
    if !reporter.is_json() {
        let state = match notification.state {
            SubscriptionState::Active => String::new(),
            other => format!(" ({})", other.as_str()),
        };
        return reporter.say(&format!("{package} of {uri}{state}: {summary}"));
    }
    let body = String::from_utf8_lossy(notification.request.body()).into_owned();
    let mut object = Map::new();
    object.insert("event".into(), "notify".into());
    object.insert("package".into(), package.into());
    object.insert("uri".into(), uri.into());
    object.insert("state".into(), notification.state.as_str().into());
    object.insert("content_type".into(), notification.content_type().into());
    object.insert("summary".into(), summary.into());
    if let Ok(Some(document)) = &document {
        object.extend(details(document));
    }
    object.insert("body".into(), body.into());
    object.insert("t".into(), ((reporter.seconds() * 1000.0).round() / 1000.0).into());
    reporter.object(object);
}

/// One line for people.
fn summary(document: &Document) -> String {
    match document {
        Document::Presence(presence) => {
            let open = if presence.is_open() { "open" } else { "closed" };
            presence.note().map_or_else(|| open.to_owned(), |note| format!("{open}, {note}"))
        }
        Document::MessageSummary(summary) => match summary.voice() {
            Some(voice) => format!("{} new and {} old voice messages", voice.new, voice.old),
            None if summary.waiting => "messages are waiting".to_owned(),
            None => "no messages".to_owned(),
        },
        Document::Dialogs(info) if info.dialogs.is_empty() => "no calls".to_owned(),
        Document::Dialogs(info) => {
            let one = |dialog: &tiny_ua::body::dialog_info::Dialog| {
                let with = dialog.remote.identities.first().map(|i| format!(" with {}", i.uri));
                format!("{}{}", dialog.state.as_str(), with.unwrap_or_default())
            };
            info.dialogs.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        Document::Conference(info) => format!("{} users", info.users.len()),
        Document::Registrations(info) => format!("{} registrations", info.registrations.len()),
        Document::Watchers(_) => "watchers".to_owned(),
        Document::List(list) => format!("{} resources", list.list.resources.len()),
        _ => "state of another type".to_owned(),
    }
}

/// The same for programs.
fn details(document: &Document) -> Map<String, Value> {
    let value = match document {
        Document::Presence(presence) => {
            json!({ "open": presence.is_open(), "note": presence.note() })
        }
        Document::MessageSummary(summary) => json!({
            "waiting": summary.waiting,
            "new": summary.voice().map(|voice| voice.new),
            "old": summary.voice().map(|voice| voice.old),
        }),
        Document::Dialogs(info) => {
            let states: Vec<_> = info.dialogs.iter().map(|d| d.state.as_str()).collect();
            json!({ "dialogs": states })
        }
        _ => Value::Null,
    };
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
