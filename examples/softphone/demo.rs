//! `softphone demo`: a registrar and two phones in one process, one real call over loopback.
//!
//! Bob registers with a password, Alice calls him, both speak the same sample through Opus, Alice
//! presses keys, holds, resumes, and both speak again before she hangs up. Then the program listens
//! to its own recordings: the exit status says whether what was heard is what was said.

use crate::calls::{Follow, Notes, follow};
use crate::commands::{date, write_report};
use crate::compare::{Match, Sound, compare};
use crate::events::Reporter;
use crate::phone::{Desk, Failure, Phone, Stop};
use crate::recorder::Recorder;
use crate::report::{self, Report};
use crate::settings::Settings;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tiny_dav::{WavFile, WavSink};
use tiny_ua::testkit::Registrar;
use tiny_ua::{Audio, AudioFormat, Call, Secret, Source};
use tokio::time::sleep;

const DOMAIN: &str = "demo.test";
const PASSWORD: &str = "correct horse battery staple";
const KEYS: &str = "42#";
const SPEECH: &[u8] = include_bytes!("../../assets/speech.wav");
/// Bob begins so much after Alice: two people never start at once.
const BOB_LATER: Duration = Duration::from_millis(700);
const ON_HOLD: Duration = Duration::from_millis(1200);
const HEARD: AudioFormat = AudioFormat::new(48_000, 1);

/// Where everything goes.
struct Files {
    alice: PathBuf,
    bob: PathBuf,
    capture: PathBuf,
    report: PathBuf,
}

/// A mouth: says the sample when told to, and is silent otherwise.
struct Speaker {
    speech: WavFile,
    position: usize,
    said: u32,
    cue: Arc<AtomicU32>,
}

impl Source for Speaker {
    fn format(&self) -> AudioFormat {
        self.speech.format()
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        let cue = self.cue.load(Ordering::Relaxed);
        if cue != self.said {
            (self.said, self.position) = (cue, 0);
        }
        let all = self.speech.samples();
        // Nothing is said before the first cue.
        let rest = if cue == 0 { &[] } else { &all[self.position.min(all.len())..] };
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.position += n;
        n
    }
}

/// Runs the demo.
pub(crate) async fn run(settings: Settings, reporter: Reporter, stop: Stop) -> Result<(), Failure> {
    let folder = Path::new("target/demo");
    let failed = |e: &dyn std::fmt::Display| Failure::Failed(format!("{}: {e}", folder.display()));
    std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    let files = Files {
        alice: folder.join("alice-heard.wav"),
        bob: folder.join("bob-heard.wav"),
        capture: folder.join("call.pcapng"),
        report: folder.join("report.html"),
    };
    let said = folder.join("said.wav");
    std::fs::write(&said, SPEECH).map_err(|e| failed(&e))?;
    let speech = WavFile::load(&said).map_err(|e| failed(&e))?;

    let names = ["alice", "registrar", "bob"].map(str::to_owned).to_vec();
    let recorder = Recorder::start(Some(&files.capture), names, reporter.started())?;
    let registrar = Registrar::builder(DOMAIN)
        .user("bob", PASSWORD)
        .start()
        .await
        .map_err(|e| Failure::Failed(format!("the demo's registrar: {e}")))?;
    recorder.name(registrar.address(), 1);
    reporter.say(&format!("registrar for {DOMAIN} at {}", registrar.address()));

    let identity = |name: &str, password: Option<&str>| {
        let proxy = format!("sip:{};lr", registrar.address());
        let mut s = settings.clone();
        s.aor = Some(format!("sip:{}@{DOMAIN}", name.to_lowercase()));
        s.display = Some(name.to_owned());
        s.registrar = password.map(|_| format!("sip:{}", registrar.address()));
        s.auth_user = password.map(|_| name.to_lowercase());
        s.password = password.map(Secret::from);
        s.outbound_proxies = vec![proxy];
        s.listen = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        if s.codecs.is_empty() {
            s.codecs = vec!["opus".into()];
        }
        (s.trace, s.report, s.lasts, s.dtmf) = (None, None, None, None);
        s.script.0.clear();
        s
    };
    let open =
        |settings, tap| Desk::open(settings, reporter.clone(), stop.clone(), None, None, Some(tap));
    let bob = open(identity("Bob", Some(PASSWORD)), recorder.tap(2)).await?;
    let alice = open(identity("Alice", None), recorder.tap(0)).await?;
    let stage = Stage { reporter: reporter.clone(), speech: speech.clone(), files };
    let played = stage.play(alice, bob).await;
    let ladder = recorder.finish();
    drop(registrar);
    let notes = played?;
    stage.judge(&speech, ladder, notes, settings.codecs.is_empty())
}

struct Stage {
    reporter: Reporter,
    speech: WavFile,
    files: Files,
}

impl Stage {
    /// The call itself.
    async fn play(&self, alice: Desk, mut bob: Desk) -> Result<[report::Phone; 2], Failure> {
        let reporter = &self.reporter;
        let notes = ["alice", "bob"].map(|name| {
            let phone = report::Phone { name: name.into(), ..report::Phone::default() };
            Notes::new(phone.into())
        });
        let cues = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        let bob_phone = bob.phone.clone();
        let bob_audio = self.audio(&cues[1], &self.files.bob)?;
        let bob_notes = notes[1].clone();
        let answering = tokio::spawn(async move {
            let incoming = bob.incoming.recv().await?;
            let call = incoming.call().clone();
            let _ = incoming.ring().await;
            sleep(Duration::from_millis(400)).await;
            if incoming.answer(bob_audio).await.is_err() {
                incoming.reject(500);
            }
            let how =
                Follow { number: 2, quiet: true, notes: Some(bob_notes), ..Follow::default() };
            let outcome = follow(&bob_phone, call, how).await;
            bob.close().await;
            Some(outcome)
        });

        reporter.say("alice calls bob");
        let audio = self.audio(&cues[0], &self.files.alice)?;
        let call = alice.phone.account.call(format!("sip:bob@{DOMAIN}")).audio(audio).await?;
        let how = Follow {
            number: 1,
            notes: Some(notes[0].clone()),
            live: true,
            spoken: true,
            who: "alice ".into(),
            ..Follow::default()
        };
        let (phone, handle) = (alice.phone.clone(), call.clone());
        let following = tokio::spawn(async move { follow(&phone, handle, how).await });
        let acted = self.act(&alice.phone, &call, &cues).await;
        call.hangup().await;
        let outcome = following.await;
        alice.close().await;
        let answered = answering.await;
        acted?;
        let good = matches!(outcome, Ok(o) if o.is_good())
            && matches!(answered, Ok(Some(o)) if o.is_good());
        if !good {
            return Err(Failure::Failed("the call did not end as it should".into()));
        }
        Ok(notes.map(|n| n.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    /// What Alice does once Bob has answered.
    async fn act(
        &self,
        phone: &Phone,
        call: &Call,
        cues: &[Arc<AtomicU32>; 2],
    ) -> Result<(), Failure> {
        let mut stop = phone.stop.clone();
        let story = async {
            tokio::time::timeout(Duration::from_secs(5), call.answered())
                .await
                .map_err(|_| Failure::Failed("bob did not answer".into()))??;
            self.speak(cues).await;
            self.reporter.say(&format!("alice presses {KEYS}"));
            call.dtmf(KEYS).await?;
            sleep(Duration::from_millis(300 * KEYS.len() as u64)).await;
            call.hold().await?;
            sleep(ON_HOLD).await;
            call.resume().await?;
            sleep(Duration::from_millis(300)).await;
            self.speak(cues).await;
            Ok(())
        };
        tokio::select! {
            result = story => result,
            () = stop.wait() => Err(Failure::Said),
        }
    }

    /// Both say the sample, Bob a little later.
    async fn speak(&self, cues: &[Arc<AtomicU32>; 2]) {
        let length = self.speech.format().duration(self.speech.samples().len());
        self.reporter.say("alice and bob speak");
        cues[0].fetch_add(1, Ordering::Relaxed);
        sleep(BOB_LATER).await;
        cues[1].fetch_add(1, Ordering::Relaxed);
        sleep(length + Duration::from_millis(400)).await;
    }

    fn audio(&self, cue: &Arc<AtomicU32>, heard: &Path) -> Result<Audio, Failure> {
        let sink = WavSink::create(heard, HEARD, Duration::from_secs(5))
            .map_err(|e| Failure::Failed(e.to_string()))?;
        let (speech, cue) = (self.speech.clone(), cue.clone());
        let speaker = Speaker { speech, position: 0, said: 0, cue };
        Ok(Audio::custom(Box::new(speaker), Box::new(sink)))
    }

    /// Listens, looks, and writes the report.
    fn judge(
        &self,
        speech: &WavFile,
        ladder: crate::recorder::Ladder,
        mut phones: [report::Phone; 2],
        opus: bool,
    ) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        let said = sound(speech);
        for (phone, path) in phones.iter_mut().zip([&self.files.alice, &self.files.bob]) {
            let words = match listen(&said, path) {
                Ok(found) => {
                    let scores = found.map(|m| format!("{:.0} %", 100.0 * m.score)).join(", ");
                    if !found.iter().all(Match::holds) {
                        wrong.push(format!("{} did not hear what was said", phone.name));
                    }
                    scores
                }
                Err(e) => {
                    wrong.push(format!("{}: {e}", phone.name));
                    "nothing".into()
                }
            };
            self.reporter.say(&format!("{} heard what was said: {words}", phone.name));
            phone.facts.push(("Heard as said".into(), words));
            if phone.holds.len() != 1 {
                wrong.push(format!(
                    "{} saw {} holds instead of one",
                    phone.name,
                    phone.holds.len()
                ));
            }
            let codec =
                phone.facts.iter().find(|(name, _)| name == "Codec").map(|(_, c)| c.as_str());
            if opus && codec != Some("opus 48 kHz") {
                wrong.push(format!(
                    "{} had {} instead of opus at 48 kHz",
                    phone.name,
                    codec.unwrap_or("no codec")
                ));
            }
        }
        let keys: String =
            phones[1].marks.iter().filter_map(|(_, m)| m.strip_prefix("key ")).collect();
        if keys != KEYS {
            wrong.push(format!("bob recognised the keys '{keys}' instead of '{KEYS}'"));
        }
        phones[1].facts.push(("Keys heard".into(), keys));
        if let Some(trouble) = &ladder.trouble {
            wrong.push(trouble.clone());
        }
        let verdict = match wrong.first() {
            None => (true, "What was heard is what was said".to_owned()),
            Some(first) => (false, first.clone()),
        };
        let page = Report {
            title: "Alice calls Bob".into(),
            subtitle: format!(
                "{} · two phones and a registrar over loopback",
                date(self.reporter.started())
            ),
            verdict: Some(verdict),
            participants: ladder.participants,
            rows: ladder.rows,
            phones: phones.to_vec(),
        };
        write_report(&self.files.report, &page)?;
        for path in [&self.files.alice, &self.files.bob, &self.files.capture, &self.files.report] {
            self.reporter.say(&format!("wrote {}", path.display()));
        }
        if wrong.is_empty() {
            self.reporter.say("what was heard is what was said");
            return Ok(());
        }
        Err(Failure::Failed(wrong.join("; ")))
    }
}

/// Finds the sample in a recording, before the hold and after it.
fn listen(said: &Sound, path: &Path) -> Result<[Match; 2], String> {
    let heard = WavFile::load(path).map_err(|e| e.to_string())?;
    let mut heard = sound(&heard);
    let mut once = || {
        let found = compare(said, &heard)?;
        // What was found is taken out, so that the next look finds the other one.
        let rate = f64::from(heard.rate);
        let start = (found.delay_s.max(0.0) * rate) as usize;
        let length = (said.samples.len() as f64 / f64::from(said.rate) * rate) as usize;
        let end = (start + length).min(heard.samples.len());
        heard.samples[start.min(end)..end].fill(0.0);
        Ok::<_, String>(found)
    };
    let mut both = [once()?, once()?];
    both.sort_by(|a, b| a.delay_s.total_cmp(&b.delay_s));
    Ok(both)
}

/// One channel of a file.
fn sound(file: &WavFile) -> Sound {
    let format = file.format();
    let channels = usize::from(format.channels.max(1));
    let samples =
        file.samples().iter().step_by(channels).map(|s| f32::from(*s) / 32_768.0).collect();
    Sound { rate: format.rate, samples }
}
