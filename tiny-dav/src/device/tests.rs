//! What can be tested on a machine with or without a sound card.

use super::*;
use crate::{SinkOptions, SourceOptions, builtin_registry, open_sink, open_source};

const FORMAT: AudioFormat = AudioFormat::new(48_000, 1);

#[test]
fn listing_devices_works_on_any_machine() {
    for device in CpalBackend::default().devices().unwrap() {
        assert!(!device.id.is_empty() && !device.name.is_empty());
        assert!(!device.name.contains('\n'), "one line: {device:?}");
    }
}

#[test]
fn the_default_device_opens_or_is_refused_in_one_clear_line() {
    let registry = builtin_registry();
    let check = |error: MediaError, hint: &str| {
        let text = error.to_string();
        assert!(text.starts_with("audio device 'default': "), "{text}");
        assert!(text.ends_with(hint), "{text}");
        assert!(!text.contains('\n'), "{text}");
    };
    if let Err(e) = open_source(&registry, "default", &SourceOptions::default(), FORMAT) {
        check(e, "(use input tone:440, file.wav or silence instead)");
    }
    if let Err(e) = open_sink(&registry, "default", &SinkOptions::default(), FORMAT) {
        check(e, "(use output file.wav or null instead)");
    }
}

#[test]
fn an_unknown_device_is_refused_by_name() {
    let backend = CpalBackend::default();
    for id in ["nonsense", "alsa:hw:CARD=none,DEV=7"] {
        let error = backend.open_source(id, FORMAT).err().expect("an error").to_string();
        assert!(error.starts_with(&format!("audio device '{id}': ")), "{error}");
        assert!(backend.open_sink(id, FORMAT).is_err());
    }
}

#[test]
#[ignore = "needs a default input that hears the default output, e.g. PulseAudio's null sink"]
fn what_the_loudspeaker_plays_the_microphone_hears() {
    let registry = builtin_registry();
    let mut tone = open_source(&registry, "tone:440", &SourceOptions::default(), FORMAT).unwrap();
    let mut microphone =
        open_source(&registry, "default", &SourceOptions::default(), FORMAT).unwrap();
    let mut speaker = open_sink(&registry, "default", &SinkOptions::default(), FORMAT).unwrap();
    assert_eq!((microphone.format(), speaker.format()), (FORMAT, FORMAT));
    let (mut heard, mut block) = (Vec::new(), [0; 480]);
    let end = std::time::Instant::now() + Duration::from_secs(10);
    while heard.len() < 144_000 && std::time::Instant::now() < end {
        while speaker.queued().is_some_and(|n| n < 4_800) {
            tone.read(&mut block);
            speaker.write(&block);
        }
        while microphone.available().is_some_and(|n| n >= block.len()) {
            assert_eq!(microphone.read(&mut block), block.len());
            heard.extend_from_slice(&block);
        }
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!((microphone.fault(), speaker.fault()), (None, None));
    assert_eq!(heard.len(), 144_000, "three seconds within ten");
    let level = crate::codec::testing::tone_db(&heard[72_000..], 48_000, 440.0);
    assert!((level + 12.0).abs() < 1.0, "{level:.1} dB");
}
