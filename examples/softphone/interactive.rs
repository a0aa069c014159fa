//! The interactive phone: one command a line on a terminal.

use crate::calls::{Follow, Notes, act, follow};
use crate::commands::{at, check_report, finish, notes_for};
use crate::events::{Event, Reporter, unpin};
use crate::phone::{Desk, Failure, Phone, Stop, check_audio};
use crate::script::{Action, check_digits};
use crate::settings::{Settings, uri_of};
use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::Arc;
use tiny_ua::{Call, IncomingCall};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

const HELP: &str = "\
  dial URI          place a call, e.g. dial sip:bob@192.0.2.7 (d)
  answer            answer the call that rings (a)
  reject            refuse it
  hangup            end the call (h)
  hold, resume      put the other side on hold, and go on
  dtmf 42#          press keys
  transfer URI      send the other side to somebody else, e.g. transfer sip:carol@192.0.2.9
  connect N         connect the other side with that of call N, and leave both
  message URI TEXT  send a text message
  calls             list the calls
  use N             make call N the one that the commands are for
  help, quit";

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Order {
    Dial(String),
    Answer,
    Reject,
    Act(Action),
    Connect(u64),
    Message(String, String),
    Calls,
    Use(u64),
    Help,
    Quit,
}

fn parse(line: &str) -> Result<Option<Order>, String> {
    let (word, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
    let rest = rest.trim();
    let order = match word {
        "" => return Ok(None),
        "dial" | "call" | "d" if !rest.is_empty() => Order::Dial(rest.to_owned()),
        "dial" | "call" | "d" => return Err("whom? e.g. dial sip:bob@192.0.2.7".into()),
        "answer" | "a" => Order::Answer,
        "reject" => Order::Reject,
        "hangup" | "h" | "bye" => Order::Act(Action::Hangup),
        "hold" => Order::Act(Action::Hold),
        "resume" => Order::Act(Action::Resume),
        "dtmf" => Order::Act(Action::Dtmf(check_digits(rest)?)),
        "message" => match rest.split_once(char::is_whitespace) {
            Some((to, text)) => Order::Message(to.to_owned(), text.trim().to_owned()),
            None => return Err("what to whom? e.g. message sip:bob@192.0.2.7 lunch?".into()),
        },
        "calls" => Order::Calls,
        "use" => Order::Use(rest.parse().map_err(|_| "which? e.g. use 2".to_owned())?),
        "help" | "?" => Order::Help,
        "quit" | "exit" | "q" => Order::Quit,
        "transfer" if rest.is_empty() => return Err("to whom? e.g. transfer sip:carol@x".into()),
        "transfer" => Order::Act(Action::Transfer(rest.to_owned())),
        "connect" => Order::Connect(rest.parse().map_err(|_| "with which? e.g. connect 1")?),
        other => return Err(format!("'{other}' is not a command; help lists them")),
    };
    Ok(Some(order))
}

struct Line {
    call: Call,
    /// Still to be answered.
    ringing: Option<IncomingCall>,
}

struct Session {
    phone: Arc<Phone>,
    notes: Option<Notes>,
    lines: BTreeMap<u64, Line>,
    /// The call that commands are for.
    current: Option<u64>,
    following: JoinSet<u64>,
}

/// Runs until `quit`, Ctrl-C, the end of the input, or `--for`.
pub(crate) async fn run(settings: Settings, reporter: Reporter, stop: Stop) -> Result<(), Failure> {
    check_report(&settings)?;
    let until = settings.lasts.map(|span| Instant::now() + span);
    let mut desk = Desk::open(settings, reporter.clone(), stop.clone(), None, None, None).await?;
    if let Err(problem) = check_audio(&desk.phone.ua, &desk.phone.settings) {
        reporter.complain(&problem.0);
        reporter.say("no call can have sound until this is mended; see --input and --output");
    }
    reporter.pin();
    reporter.say(&format!("I am {}; help lists the commands", desk.phone.account.aor()));
    let mut typed = keyboard();
    let mut stop = stop;
    let notes = notes_for(&desk.phone);
    let mut session = Session {
        phone: desk.phone.clone(),
        notes: notes.clone(),
        lines: BTreeMap::new(),
        current: None,
        following: JoinSet::new(),
    };
    loop {
        tokio::select! {
            line = typed.recv() => {
                let Some(line) = line else { break };
                match parse(&line) {
                    Ok(Some(Order::Quit)) => break,
                    Ok(Some(order)) => session.obey(order).await,
                    Ok(None) => {}
                    Err(e) => reporter.say(&e),
                }
            }
            Some(call) = desk.incoming.recv() => session.rings(call).await,
            Some(call) = desk.continued.recv() => {
                let number = desk.phone.number();
                let to = call.remote_uri().to_owned();
                reporter.say(&format!("[{number}] goes on with {to}"));
                session.follow(number, call, None);
            }
            Some(done) = session.following.join_next(), if !session.following.is_empty() => {
                if let Ok(number) = done {
                    session.over(number);
                }
            }
            () = stop.wait() => break,
            () = at(until) => break,
        }
    }
    desk.phone.ua.shutdown().await;
    while session.following.join_next().await.is_some() {}
    drop(session);
    unpin();
    finish(desk, notes, "Calls").await
}

/// Lines as they are typed. The thread ends with the process: reading a terminal cannot be undone.
fn keyboard() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                break;
            }
        }
    });
    told
}

impl Session {
    async fn obey(&mut self, order: Order) {
        let reporter = self.phone.reporter.clone();
        match order {
            Order::Dial(to) => self.dial(&to).await,
            Order::Answer => self.answer().await,
            Order::Reject => match self.ringing() {
                Some((_, call)) => call.reject(486),
                None => reporter.say("nobody calls"),
            },
            Order::Act(Action::Transfer(to)) => {
                let to = self.phone.complete(&to);
                match self.current.and_then(|n| self.lines.get(&n)) {
                    Some(line) => {
                        let action = Action::Transfer(to);
                        tokio::spawn(act(self.phone.clone(), line.call.clone(), action));
                    }
                    None => reporter.say("there is no call"),
                }
            }
            Order::Connect(other) => self.connect(other).await,
            Order::Act(action) => match self.current.and_then(|n| self.lines.get(&n)) {
                Some(line) => {
                    tokio::spawn(act(self.phone.clone(), line.call.clone(), action));
                }
                None => reporter.say("there is no call"),
            },
            Order::Message(to, text) => {
                let phone = self.phone.clone();
                tokio::spawn(async move {
                    match phone.account.message(&phone.complete(&to), &text).await {
                        Ok(_) => phone.reporter.say("delivered"),
                        Err(e) => phone.reporter.say(&format!("not delivered: {e}")),
                    }
                });
            }
            Order::Calls if self.lines.is_empty() => reporter.say("there is no call"),
            Order::Calls => {
                for (number, line) in &self.lines {
                    let mark = if self.current == Some(*number) { "*" } else { " " };
                    let state = if line.ringing.is_some() { "rings" } else { "" };
                    reporter.say(&format!("{mark}[{number}] {} {state}", line.call.remote_uri()));
                }
            }
            Order::Use(number) if self.lines.contains_key(&number) => self.current = Some(number),
            Order::Use(number) => reporter.say(&format!("there is no call {number}")),
            Order::Help => reporter.say(HELP),
            Order::Quit => {}
        }
    }

    /// Connects the peers of the current call and of another one.
    async fn connect(&mut self, other: u64) {
        let reporter = &self.phone.reporter;
        let this = self.current.and_then(|n| self.lines.get(&n));
        let (Some(this), Some(other)) = (this, self.lines.get(&other)) else {
            return reporter.say("there is no such call");
        };
        // The other one was there first: its peer is sent to the new one.
        if let Err(e) = other.call.transfer_to_call(&this.call).await {
            reporter.say(&format!("connect: {e}"));
        }
    }

    async fn dial(&mut self, to: &str) {
        let phone = &self.phone;
        let to = match uri_of("dial", phone.complete(to)) {
            Ok(to) => to,
            Err(problem) => return phone.reporter.say(&problem.0),
        };
        let number = phone.number();
        let mut builder = phone.account.call(to).audio(phone.audio(number));
        for (name, value) in &phone.settings.headers {
            builder = builder.header(name, value);
        }
        match builder.await {
            Ok(call) => self.follow(number, call, None),
            Err(e) => self.phone.reporter.say(&e.to_string()),
        }
    }

    async fn rings(&mut self, incoming: IncomingCall) {
        let number = self.phone.number();
        let to = incoming.request().to().map(|to| to.uri.as_str().to_owned());
        let (from, to) = (incoming.from().to_owned(), to.unwrap_or_default());
        self.phone.reporter.event(&Event::Incoming { call: number, from, to });
        if incoming.ring().await.is_ok() {
            self.phone.reporter.event(&Event::Ringing { call: number });
        }
        self.phone.reporter.say("\x07answer or reject?");
        self.follow(number, incoming.call().clone(), Some(incoming));
    }

    fn follow(&mut self, number: u64, call: Call, ringing: Option<IncomingCall>) {
        let notes = self.notes.clone().filter(|_| number == 1);
        let how = Follow { number, notes, live: true, ..Follow::default() };
        let (phone, line) = (self.phone.clone(), Line { call: call.clone(), ringing });
        self.lines.insert(number, line);
        self.current = Some(number);
        self.following.spawn(async move {
            follow(&phone, call, how).await;
            number
        });
    }

    async fn answer(&mut self) {
        let Some((number, incoming)) = self.ringing() else {
            return self.phone.reporter.say("nobody calls");
        };
        self.current = Some(number);
        if let Err(e) = incoming.answer(self.phone.audio(number)).await {
            self.phone.reporter.say(&e.to_string());
            if let Some(line) = self.lines.get_mut(&number) {
                line.ringing = Some(incoming);
            }
        }
    }

    /// Takes the call that rings.
    fn ringing(&mut self) -> Option<(u64, IncomingCall)> {
        let (number, line) = self.lines.iter_mut().rev().find(|(_, l)| l.ringing.is_some())?;
        Some((*number, line.ringing.take()?))
    }

    fn over(&mut self, number: u64) {
        self.lines.remove(&number);
        if self.current == Some(number) {
            self.current = self.lines.keys().next_back().copied();
        }
    }
}

impl Phone {
    /// `1002` becomes `sip:1002@<my domain>`, `bob@host` becomes `sip:bob@host`.
    fn complete(&self, to: &str) -> String {
        let has_scheme = ["sip:", "sips:", "tel:"].iter().any(|s| to.starts_with(s));
        match (has_scheme, to.contains('@'), self.account.aor().split_once('@')) {
            (true, _, _) => to.to_owned(),
            (false, false, Some((_, domain))) => format!("sip:{to}@{domain}"),
            _ => format!("sip:{to}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_orders() {
        assert_eq!(parse("  "), Ok(None));
        assert_eq!(parse("d sip:bob@x "), Ok(Some(Order::Dial("sip:bob@x".into()))));
        assert_eq!(parse("dtmf 4a"), Ok(Some(Order::Act(Action::Dtmf("4A".into())))));
        let message = Order::Message("sip:b@x".into(), "see you".into());
        assert_eq!(parse("message sip:b@x  see you"), Ok(Some(message)));
        assert_eq!(parse("use 2"), Ok(Some(Order::Use(2))));
        for wrong in [
            "dial",
            "dtmf",
            "dtmf x",
            "message sip:b@x",
            "use it",
            "dance",
            "transfer",
            "connect x",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
