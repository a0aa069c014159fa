//! Arbitrary bytes as a WAV file: no panic, and no more sound than the file has bytes for.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(file) = tiny_dav::WavFile::parse(data) {
        assert!(file.samples().len() <= data.len());
        assert!(matches!(file.format().channels, 1 | 2));
    }
});
