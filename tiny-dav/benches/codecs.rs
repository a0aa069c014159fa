//! What each codec costs: microseconds to encode and to decode 20 ms.
//!
//! `cargo bench -p tiny-dav --bench codecs`. Speech of the project's own sample; the best of several
//! passes, so that a busy machine shows less.

use std::time::Instant;
use tiny_dav::{Config, OpusConfig, WavFile, registry};
use tiny_media::{AudioCodec, Fmtp};

const PASSES: usize = 5;

fn main() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/speech.wav");
    let speech = match WavFile::load(path.as_ref()) {
        Ok(file) => file.samples().to_vec(),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    report(&format!("{:<28}{:>12}{:>12}{:>12}", "codec", "encode µs", "decode µs", "bytes"));
    let mut rows = Vec::new();
    for (name, opus) in [
        ("opus mono", OpusConfig::default()),
        ("opus mono, complexity 5", OpusConfig { complexity: 5, ..OpusConfig::default() }),
        ("opus mono, complexity 0", OpusConfig { complexity: 0, ..OpusConfig::default() }),
        ("opus stereo", OpusConfig { channels: 2, ..OpusConfig::default() }),
    ] {
        let mut config = Config::default();
        config.opus = opus;
        if let Ok(registry) = registry(&config) {
            rows.push((name, registry.codecs()[0].clone()));
        }
    }
    for codec in &tiny_dav::builtin_registry().codecs()[1..] {
        rows.push((codec.description().name, codec.clone()));
    }
    for (name, codec) in rows {
        let (encode, decode, bytes) = measure(&*codec, &speech);
        report(&format!("{name:<28}{encode:>12.2}{decode:>12.2}{bytes:>12.1}"));
    }
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}

/// Microseconds to encode and decode 20 ms, and the mean payload.
fn measure(codec: &dyn AudioCodec, speech: &[i16]) -> (f64, f64, f64) {
    let format = codec.description().format;
    // Thinned without a filter: the codecs cost the same with aliases in it.
    let step = 48_000 / format.rate as usize;
    let channels = usize::from(format.channels);
    let pcm: Vec<i16> =
        speech.iter().step_by(step).flat_map(|s| std::iter::repeat_n(*s, channels)).collect();
    let block = format.rate as usize / 50 * channels;
    let blocks = pcm.len() / block;

    let mut payloads = vec![Vec::with_capacity(2_000); blocks];
    let mut out = Vec::with_capacity(block * 2);
    let (mut encode, mut decode) = (f64::MAX, f64::MAX);
    for _ in 0..PASSES {
        let remote = Fmtp("stereo=1;useinbandfec=1".into());
        let (Ok(mut encoder), Ok(mut decoder)) =
            (codec.encoder(&remote), codec.decoder(&Fmtp::default()))
        else {
            return (0.0, 0.0, 0.0);
        };
        let start = Instant::now();
        for (pcm, payload) in pcm.chunks_exact(block).zip(&mut payloads) {
            payload.clear();
            let _ = encoder.encode(pcm, payload);
        }
        encode = encode.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        for payload in &payloads {
            out.clear();
            let _ = decoder.decode(payload, &mut out);
            std::hint::black_box(&out);
        }
        decode = decode.min(start.elapsed().as_secs_f64());
    }
    let bytes = payloads.iter().map(Vec::len).sum::<usize>() as f64 / blocks as f64;
    (encode * 1e6 / blocks as f64, decode * 1e6 / blocks as f64, bytes)
}
