//! A recording process that is killed without warning leaves a file that plays.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tiny_dav::{SinkOptions, WavFile, builtin_registry, open_sink};
use tiny_media::AudioFormat;

const PATH: &str = "TINY_DAV_TEST_RECORDING";
const FORMAT: AudioFormat = AudioFormat::new(48_000, 2);

/// A sample that says which one it is.
fn sample(n: usize) -> i16 {
    (n % 30_011) as i16
}

#[test]
#[ignore = "started by the test below, and killed by it"]
fn records_for_ever() {
    let Ok(path) = std::env::var(PATH) else { return };
    let mut sink = open_sink(&builtin_registry(), &path, &SinkOptions::default(), FORMAT).unwrap();
    for n in (0..).step_by(1_920) {
        let block: Vec<i16> = (n..n + 1_920).map(sample).collect();
        sink.write(&block);
        // Much faster than a call, slower than a disk.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the child and removes the file whatever happens.
struct Recorder(Child, PathBuf);

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

#[test]
fn a_killed_recording_plays_up_to_the_last_quarter_second() {
    let path = std::env::temp_dir().join(format!("tiny-dav-kill-{}.wav", std::process::id()));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "records_for_ever", "--ignored"])
        .env(PATH, &path)
        .spawn()
        .unwrap();
    let mut recorder = Recorder(child, path.clone());
    let length = || std::fs::metadata(&path).map_or(0, |m| m.len());
    let patience = Instant::now() + Duration::from_secs(30);
    while length() < 400_000 {
        assert!(Instant::now() < patience, "the recorder wrote {} bytes", length());
        std::thread::yield_now();
    }
    recorder.0.kill().unwrap();
    recorder.0.wait().unwrap();

    let file = WavFile::load(&path).unwrap();
    assert_eq!(file.format(), FORMAT);
    let in_file = (length() as usize - 44) / 2;
    let claimed = file.samples().len();
    assert!(claimed <= in_file);
    // A quarter second, and the block that was being written: a tenth of a second or what had
    // gathered while the thread waited.
    assert!(claimed + 96_000 > in_file, "{claimed} of {in_file} samples");
    assert!(file.samples().iter().enumerate().all(|(n, s)| *s == sample(n)), "nothing is torn");
}
