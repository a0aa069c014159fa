//! WAV in every coding, and the promise that a file being written is valid at every moment.

use super::*;
use crate::codec::testing::{noise, sine, snr_db};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tiny_media::{AudioFormat, Sink, Source};

/// A path of its own, removed at the end.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tiny-dav-{}-{n}.wav", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn with(bytes: &[u8]) -> Self {
        let temp = Self::new();
        std::fs::write(&temp.0, bytes).unwrap();
        temp
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file laid out by hand.
fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits.div_ceil(8);
    let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
    file.extend(16_u32.to_le_bytes());
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(frame)).to_le_bytes());
    file.extend(frame.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

fn load(bytes: &[u8]) -> Result<WavFile, MediaError> {
    let file = WavFile::load(&Temp::with(bytes).0);
    let memory = WavFile::parse(bytes);
    assert_eq!(file.is_ok(), memory.is_ok());
    if let (Ok(file), Ok(memory)) = (&file, memory) {
        assert_eq!((file.format(), file.samples()), (memory.format(), memory.samples()));
    }
    file
}

fn loaded(bytes: &[u8]) -> Vec<i16> {
    load(bytes).unwrap().samples().to_vec()
}

#[test]
fn every_coding_becomes_sixteen_bits() {
    assert_eq!(loaded(&wav(1, 1, 8_000, 8, &[0, 128, 255])), [-32_768, 0, 32_512]);
    assert_eq!(loaded(&wav(1, 1, 8_000, 16, &[0x34, 0x12, 0, 0x80])), [0x1234, -32_768]);
    assert_eq!(loaded(&wav(1, 1, 8_000, 24, &[0xFF, 0x34, 0x12, 0, 0, 0x80])), [0x1234, -32_768]);
    assert_eq!(loaded(&wav(1, 1, 8_000, 32, &[1, 2, 0x34, 0x12])), [0x1234]);
    let floats: Vec<u8> =
        [0.5_f32, -1.0, 2.0, f32::NAN].iter().flat_map(|f| f.to_le_bytes()).collect();
    assert_eq!(loaded(&wav(3, 1, 8_000, 32, &floats)), [16_384, -32_768, 32_767, 0]);
    assert_eq!(loaded(&wav(3, 1, 8_000, 64, &(-0.25_f64).to_le_bytes())), [-8_192]);
    assert_eq!(loaded(&wav(6, 1, 8_000, 8, &[0xD5, 0x2A])), [8, -32_256]);
    assert_eq!(loaded(&wav(7, 1, 8_000, 8, &[0xFF, 0x00])), [0, -32_124]);
}

#[test]
fn extensible_files_with_other_chunks_are_read() {
    let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
    file.extend(b"LIST\x03\0\0\0abc\0");
    file.extend(b"fmt \x28\0\0\0");
    file.extend([0xFE, 0xFF, 2, 0]);
    file.extend(44_100_u32.to_le_bytes());
    file.extend([0; 4]);
    file.extend([4, 0, 16, 0, 22, 0, 16, 0, 3, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]);
    file.extend(b"fact\x04\0\0\0\x02\0\0\0");
    file.extend(b"data\x08\0\0\0\x01\0\x02\0\x03\0\x04\0");
    let file = load(&file).unwrap();
    assert_eq!(file.format(), AudioFormat::new(44_100, 2));
    assert_eq!(file.samples(), [1, 2, 3, 4]);
}

#[test]
fn more_than_two_channels_are_mixed_to_one() {
    let frames: Vec<u8> = [3_i16, 6, 9, -30, 0, 0].iter().flat_map(|s| s.to_le_bytes()).collect();
    let file = load(&wav(1, 3, 48_000, 16, &frames)).unwrap();
    assert_eq!(file.format(), AudioFormat::new(48_000, 1));
    assert_eq!(file.samples(), [6, -10]);
}

#[test]
fn files_that_were_cut_or_piped_read_as_far_as_they_go() {
    let mut cut = wav(1, 1, 8_000, 16, &[1, 0, 2, 0, 3, 0]);
    cut.truncate(cut.len() - 1);
    assert_eq!(loaded(&cut), [1, 2]);
    let mut piped = wav(1, 1, 8_000, 16, &[1, 0, 2, 0]);
    piped[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(loaded(&piped), [1, 2]);
}

#[test]
fn what_is_no_wav_file_is_refused_with_the_reason() {
    let reason = |bytes: &[u8]| match load(bytes) {
        Err(MediaError::File { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reason(b"ID3 and so on, an MP3"),
        "not a WAV file that can be played: it does not start with RIFF and WAVE"
    );
    assert!(reason(b"").ends_with("it is too short"));
    assert!(reason(b"RIFF\0\0\0\0WAVE").ends_with("it has no data chunk"));
    assert!(reason(b"RIFF\0\0\0\0WAVEdata\0\0\0\0").ends_with("its data come before its format"));
    assert!(reason(&wav(85, 1, 8_000, 16, &[0; 4])).ends_with("coding 85 of 16 bits is not known"));
    assert!(reason(&wav(1, 0, 8_000, 16, &[0; 4])).ends_with("0 channels are not in 1 to 32"));
    assert!(reason(&wav(1, 1, 0, 16, &[0; 4])).ends_with("0 Hz is not in 1000 to 384000"));
    assert_eq!(reason(&wav(1, 1, 8_000, 16, &[])), "it holds no sound");
}

#[test]
fn no_bytes_make_the_reader_panic() {
    use proptest::prelude::*;
    let good = wav(1, 2, 8_000, 24, &[7; 600]);
    let mut config = ProptestConfig::with_cases(256);
    config.failure_persistence = None;
    proptest!(config, |(
        mutations in prop::collection::vec((0..60_usize, any::<u8>()), 0..6),
        length in 0..700_usize,
        noise in prop::collection::vec(any::<u8>(), 0..200),
    )| {
        let mut bytes = good.clone();
        for (place, value) in mutations {
            bytes[place] = value;
        }
        bytes.truncate(length);
        bytes.extend(noise);
        let mut file = std::io::Cursor::new(&bytes);
        if let Ok(layout) = super::layout::Layout::read(&mut file) {
            let sound = layout.frames * layout.frame_octets() as u64;
            prop_assert!(layout.start + sound <= bytes.len() as u64);
            let mut pcm = Vec::new();
            let start = layout.start as usize;
            layout.convert(&bytes[start..start + sound as usize], &mut pcm);
            let channels = u64::from(layout.format().channels);
            prop_assert_eq!(pcm.len() as u64, layout.frames * channels);
        }
    });
}

#[test]
fn a_file_plays_once_or_for_ever() {
    let data: Vec<u8> = (1..=5_i16).flat_map(i16::to_le_bytes).collect();
    let temp = Temp::with(&wav(1, 1, 16_000, 16, &data));
    // From memory, and from disk behind the reading thread.
    for preload in [u64::MAX, 0] {
        let mut once = WavSource::open(&temp.0, false, preload).unwrap();
        assert_eq!(once.format(), AudioFormat::new(16_000, 1));
        assert_eq!(once.available(), None);
        let mut pcm = [0; 3];
        assert!(!once.finished());
        assert_eq!((once.read(&mut pcm), pcm), (3, [1, 2, 3]));
        assert_eq!((once.read(&mut pcm), pcm[0], pcm[1]), (2, 4, 5));
        assert_eq!(once.read(&mut pcm), 0);
        assert!(once.finished());

        let mut endless = WavSource::open(&temp.0, true, preload).unwrap();
        let mut pcm = [0; 12];
        assert_eq!(endless.read(&mut pcm), 12);
        assert_eq!(pcm, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]);
        assert!(!endless.finished());
    }
}

#[test]
fn a_long_file_read_on_the_go_arrives_whole() {
    let said = noise(9, 30_000, 400_000);
    let temp = Temp::new();
    let mut writer = WavWriter::create(&temp.0, AudioFormat::new(48_000, 2)).unwrap();
    writer.write(&said).unwrap();
    drop(writer);
    let mut source = WavSource::open(&temp.0, false, 0).unwrap();
    let (mut heard, mut block) = (Vec::new(), [0; 1_920]);
    while !source.finished() {
        let n = source.read(&mut block);
        heard.extend_from_slice(&block[..n]);
        if n == 0 {
            std::thread::yield_now();
        }
    }
    assert!(heard == said);
}

/// Parses a copy of the file as it lies there now, as another program would.
fn claimed_samples(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    let claimed = u32::from_le_bytes(bytes[40..44].try_into().unwrap()) as usize;
    let riff = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    assert_eq!(riff, claimed + 36);
    assert!(bytes.len() >= 44 + claimed, "{claimed} claimed, {} there", bytes.len() - 44);
    let reader = hound::WavReader::new(std::io::Cursor::new(&bytes[..44 + claimed])).unwrap();
    assert_eq!(reader.len() as usize, claimed / 2);
    claimed / 2
}

#[test]
fn a_file_being_written_is_valid_after_every_write() {
    let temp = Temp::new();
    let format = AudioFormat::new(8_000, 1);
    let mut writer = WavWriter::create(&temp.0, format).unwrap();
    assert_eq!(claimed_samples(&temp.0), 0);
    let said = sine(8_000, 1, 440.0, -12.0, 8_000);
    for (n, block) in said.chunks(160).enumerate() {
        writer.write(block).unwrap();
        let written = (n + 1) * 160;
        let claimed = claimed_samples(&temp.0);
        assert!(claimed <= written && claimed + 2_160 > written, "{claimed} of {written}");
    }
    // Whoever dies now never runs a destructor.
    std::mem::forget(writer);
    assert!(claimed_samples(&temp.0) >= 6_000, "no more than the last quarter second is missing");
}

#[test]
fn every_prefix_of_the_writes_is_a_valid_file() {
    // The order of what reaches the disk: sound before the header that claims it. Replayed here as
    // a log of the file after each system call would show it: the file never shrinks, and the header
    // never runs ahead.
    let temp = Temp::new();
    let format = AudioFormat::new(8_000, 2);
    let mut writer = WavWriter::create(&temp.0, format).unwrap();
    let mut last = 0;
    for block in noise(2, 9_000, 64_000).chunks(1_234 * 2) {
        writer.write(block).unwrap();
        let claimed = claimed_samples(&temp.0);
        assert!(claimed >= last);
        assert_eq!(claimed % 2, 0, "whole frames");
        last = claimed;
    }
    writer.claim().unwrap();
    assert_eq!(claimed_samples(&temp.0), 64_000);
}

#[test]
fn a_recording_is_complete_when_the_sink_is_dropped() {
    let temp = Temp::new();
    let format = AudioFormat::new(48_000, 2);
    let said = sine(48_000, 2, 1_000.0, -6.0, 48_000);
    let mut sink = WavSink::create(&temp.0, format, Duration::from_secs(2)).unwrap();
    assert_eq!(sink.format(), format);
    assert_eq!(sink.queued(), None);
    said.chunks(1_920).for_each(|block| sink.write(block));
    assert_eq!(sink.dropped(), 0);
    assert_eq!(sink.fault(), None);
    drop(sink);
    let file = WavFile::load(&temp.0).unwrap();
    assert_eq!(file.format(), format);
    assert!(file.samples() == said);
    assert!(snr_db(&said, file.samples()) > 100.0);
}

#[test]
fn what_the_disk_is_too_slow_for_is_dropped_by_whole_frames_and_counted() {
    let temp = Temp::new();
    let format = AudioFormat::new(8_000, 2);
    let mut sink = WavSink::create(&temp.0, format, Duration::from_millis(100)).unwrap();
    // One write beyond what the ring holds cannot be taken, however fast the disk.
    let said = noise(4, 5_000, 40_000);
    sink.write(&said);
    assert_eq!(sink.dropped(), 40_000 - 1_600);
    drop(sink);
    assert!(WavFile::load(&temp.0).unwrap().samples() == &said[..1_600]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_and_does_not_stop_the_call() {
    let mut sink =
        WavSink::create("/dev/full".as_ref(), AudioFormat::new(8_000, 1), Duration::from_secs(1));
    // The header alone fails on this device already.
    assert!(matches!(sink, Err(MediaError::File { .. })), "{:?}", sink.as_mut().err());
}
