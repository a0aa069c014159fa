//! Chromium without a window, driven through `driver.mjs`; the telephone in its pages is `page.js`.

use crate::peers::{Process, installed, scratch};
use crate::secure::Certificates;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// What a page waits for has a limit of its own; this is for a browser that says nothing at all.
const SILENCE: Duration = Duration::from_secs(100);

/// Where `scripts/setup.sh interop` puts JsSIP.
fn modules() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    target.join("browser")
}

/// Whether there is a browser, and what its pages need. Says so when there is none; in CI that is a failure.
#[allow(clippy::print_stdout)] // People read it.
pub(crate) fn have_browser() -> bool {
    if !["chromium", "node"].iter().all(|program| installed(program)) {
        return false;
    }
    let found = modules().join("node_modules/jssip").exists();
    if !found {
        let what = "JsSIP is not installed (scripts/setup.sh interop does it)";
        assert!(std::env::var_os("CI").is_none(), "{what}, and this is CI");
        println!("skipped: {what}");
    }
    found
}

pub(crate) struct Browser {
    talk: Mutex<Talk>,
    _process: Process,
}

struct Talk {
    input: ChildStdin,
    replies: mpsc::Receiver<Value>,
    asked: u64,
}

impl Browser {
    /// Trusts the server of these certificates; `flags` are Chromium's own.
    pub(crate) fn start(name: &str, certificates: &Certificates, flags: &[&str]) -> Self {
        let profile = scratch(&format!("chromium-{name}")).join("profile");
        std::fs::create_dir_all(&profile).expect("profile");
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/browser/driver.mjs");
        let mut command = Command::new("node");
        command
            .arg(driver)
            .args([modules(), profile])
            .arg(certificates.path("server.pem"))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command);
        let input = process.0.stdin.take().expect("stdin");
        let output = process.0.stdout.take().expect("stdout");
        let (to, replies) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let reply = serde_json::from_str(&line).expect("the driver writes JSON");
                if to.send(reply).is_err() {
                    return;
                }
            }
        });
        let talk = Mutex::new(Talk { input, replies, asked: 0 });
        Self { talk, _process: process }
    }

    /// A telephone in a page of its own, registered at that URL of a WebSocket.
    pub(crate) fn telephone(&self, user: &str, settings: Value) -> Telephone<'_> {
        let telephone = Telephone { browser: self, page: user.to_owned() };
        let mut with = json!({ "user": user });
        let all = with.as_object_mut().expect("an object");
        all.extend(settings.as_object().cloned().unwrap_or_default());
        telephone.tell("register", with);
        telephone
    }

    fn ask(&self, page: &str, what: &str, with: &Value) -> Result<Value, String> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        talk.asked += 1;
        let id = talk.asked;
        let line = json!({ "id": id, "page": page, "what": what, "with": with });
        writeln!(talk.input, "{line}").map_err(|error| format!("the driver is gone: {error}"))?;
        loop {
            match talk.replies.recv_timeout(SILENCE) {
                // One that nobody waited for is that of a question that has failed.
                Ok(reply) if reply["id"] != id => {}
                Ok(mut reply) => {
                    return match reply["error"].as_str() {
                        Some(error) => Err(error.to_owned()),
                        None => Ok(reply["value"].take()),
                    };
                }
                Err(error) => return Err(format!("the driver says nothing: {error}")),
            }
        }
    }
}

/// A page with a telephone. What it says is in `page.js`.
pub(crate) struct Telephone<'a> {
    browser: &'a Browser,
    page: String,
}

impl Telephone<'_> {
    /// Does something, and shows the descriptions of the call when it fails.
    pub(crate) fn tell(&self, what: &str, with: Value) -> Value {
        self.browser.ask(&self.page, what, &with).unwrap_or_else(|error| {
            let page = &self.page;
            let known = self.browser.ask(page, "descriptions", &Value::Null).unwrap_or_default();
            let told = |side: &str| known[side].as_str().unwrap_or_default().to_owned();
            let (local, remote) = (told("local"), told("remote"));
            let stats = self.browser.ask(page, "stats", &Value::Null).unwrap_or_default();
            panic!(
                "{page}, {what} {with}: {error}\n{stats}\nits description:\n{local}\nthe \
                 peer's:\n{remote}"
            )
        })
    }

    pub(crate) fn call(&self, user: &str) {
        self.tell("call", json!({ "to": format!("sip:{user}@sip.test") }));
    }

    /// The next event of that name, and none of those on the way was an end.
    pub(crate) fn expect(&self, event: &str) -> Value {
        let names =
            if event == "ended" { json!([event]) } else { json!([event, "ended", "error"]) };
        let found = self.tell("next", json!({ "names": names }));
        assert_eq!(found["name"], event, "{}: {found}", self.page);
        found
    }

    /// Waits until it hears that tone at that level, in dB below full scale.
    pub(crate) fn hears(&self, hz: f64, db: f64) -> Value {
        self.tell("hear", json!({ "hz": hz, "db": db }))
    }

    pub(crate) fn hears_nothing(&self) {
        self.tell("hearNothing", json!({}));
    }

    pub(crate) fn stats(&self) -> Value {
        self.tell("stats", json!({}))
    }
}
