//! An open device: the thread that owns the cpal stream, and the two callbacks. In a callback there
//! is no lock, no allocation and no log.

use super::choice::{choose, ring_format};
use super::{DeviceConfig, device_error, quiet};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{ErrorKind, FromSample, Sample, SampleFormat, SizedSample, StreamConfig};
use std::sync::atomic::Ordering::{self, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};
use tiny_media::ring::{self, AppSink, AppSource, Pace, PcmReader, PcmWriter};
use tiny_media::{AudioFormat, DeviceKind, MediaError, Sink, Source};

/// A microphone.
pub(super) struct DeviceSource {
    ring: AppSource,
    holder: Holder,
}

impl DeviceSource {
    pub(super) fn open(
        config: &DeviceConfig,
        id: &str,
        wanted: AudioFormat,
    ) -> Result<Self, MediaError> {
        let (holder, ring) = Holder::open(config, id, DeviceKind::Input, wanted, build_input)?;
        Ok(Self { ring, holder })
    }
}

impl Source for DeviceSource {
    fn format(&self) -> AudioFormat {
        self.ring.format()
    }

    fn available(&self) -> Option<usize> {
        if self.holder.is_lost() { None } else { self.ring.available() }
    }

    fn read(&mut self, out: &mut [i16]) -> usize {
        self.ring.read(out)
    }

    fn finished(&self) -> bool {
        self.holder.is_lost() && self.ring.available() == Some(0)
    }

    fn fault(&self) -> Option<String> {
        self.holder.fault()
    }
}

/// A loudspeaker.
pub(super) struct DeviceSink {
    ring: AppSink,
    holder: Holder,
}

impl DeviceSink {
    pub(super) fn open(
        config: &DeviceConfig,
        id: &str,
        wanted: AudioFormat,
    ) -> Result<Self, MediaError> {
        let (holder, ring) = Holder::open(config, id, DeviceKind::Output, wanted, build_output)?;
        Ok(Self { ring, holder })
    }
}

impl Sink for DeviceSink {
    fn format(&self) -> AudioFormat {
        self.ring.format()
    }

    fn queued(&self) -> Option<usize> {
        if self.holder.is_lost() { None } else { self.ring.queued() }
    }

    fn write(&mut self, pcm: &[i16]) {
        if !self.holder.is_lost() {
            self.ring.write(pcm);
        }
    }

    fn fault(&self) -> Option<String> {
        self.holder.fault()
    }
}

/// The thread that owns a stream, and ends it when dropped.
struct Holder {
    health: Arc<Health>,
    thread: Option<JoinHandle<()>>,
}

/// What the callbacks and the holder's thread tell each other.
struct Health {
    stop: AtomicBool,
    lost: AtomicBool,
    fault: OnceLock<String>,
    /// When the errors began after which no sound has come or gone, in ms since `opened`, plus one;
    /// 0 when all is well.
    failing: AtomicU64,
    opened: Instant,
}

impl Health {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            stop: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            fault: OnceLock::new(),
            failing: AtomicU64::new(0),
            opened: Instant::now(),
        })
    }
}

/// Nothing but errors for so long, and a device counts as lost. PulseAudio, for one, fails a while at
/// the start of a stream.
const HOPELESS: Duration = Duration::from_secs(2);

/// A pause after an error that may pass, for the system's thread tries again at once.
const BREATH: Duration = Duration::from_millis(5);

type Build<T> = fn(
    &cpal::Device,
    StreamConfig,
    SampleFormat,
    &DeviceConfig,
    Arc<Health>,
) -> Result<(cpal::Stream, T), cpal::Error>;

impl Holder {
    fn open<T: Send + 'static>(
        config: &DeviceConfig,
        id: &str,
        kind: DeviceKind,
        wanted: AudioFormat,
        build: Build<T>,
    ) -> Result<(Self, T), MediaError> {
        let health = Health::new();
        let (answer, wait) = mpsc::sync_channel(1);
        let run = {
            let (config, id, health) = (config.clone(), id.to_owned(), health.clone());
            move || {
                let _quiet = quiet::this_thread();
                let (stream, end) = match start(&config, &id, kind, wanted, build, &health) {
                    Ok(open) => open,
                    Err(error) => {
                        let _ = answer.send(Err(error));
                        return;
                    }
                };
                // Nobody waits any more when opening took too long: the stream ends here then.
                if answer.send(Ok(end)).is_err() {
                    return;
                }
                while !health.stop.load(Ordering::Acquire) && !health.lost.load(Ordering::Acquire) {
                    thread::park();
                }
                drop(stream);
            }
        };
        let name = match kind {
            DeviceKind::Input => "audio-input",
            DeviceKind::Output => "audio-output",
        };
        let spawned = thread::Builder::new().name(name.into()).spawn(run);
        let thread = spawned.map_err(|e| device_error(id, e))?;
        match wait.recv_timeout(config.patience) {
            Ok(Ok(end)) => Ok((Self { health, thread: Some(thread) }, end)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(device_error(id, "the system takes too long to open it")),
        }
    }

    fn is_lost(&self) -> bool {
        self.health.lost.load(Ordering::Acquire)
    }

    fn fault(&self) -> Option<String> {
        self.health.fault.get().cloned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.health.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // The device is free for others when this returns.
            let _ = thread.join();
        }
    }
}

/// Finds the device, chooses a format, and lets the stream run.
fn start<T>(
    config: &DeviceConfig,
    id: &str,
    kind: DeviceKind,
    wanted: AudioFormat,
    build: Build<T>,
    health: &Arc<Health>,
) -> Result<(cpal::Stream, T), MediaError> {
    let device = find(id, kind)?;
    let error = |e: cpal::Error| device_error(id, explain(&e));
    let chosen = match kind {
        DeviceKind::Input => {
            choose(device.supported_input_configs().map_err(error)?, wanted, config.period)
        }
        DeviceKind::Output => {
            choose(device.supported_output_configs().map_err(error)?, wanted, config.period)
        }
    };
    let (stream_config, sample_format) =
        chosen.ok_or_else(|| device_error(id, "it offers no format that can be used"))?;
    let (stream, end) =
        build(&device, stream_config, sample_format, config, health.clone()).map_err(error)?;
    stream.play().map_err(error)?;
    Ok((stream, end))
}

fn find(id: &str, kind: DeviceKind) -> Result<cpal::Device, MediaError> {
    let host = cpal::default_host();
    if id == "default" {
        let device = match kind {
            DeviceKind::Input => host.default_input_device(),
            DeviceKind::Output => host.default_output_device(),
        };
        return device.ok_or_else(|| device_error(id, "this machine has none"));
    }
    let parsed: cpal::DeviceId =
        id.parse().map_err(|_| device_error(id, "this is not a device id"))?;
    host.device_by_id(&parsed).ok_or_else(|| device_error(id, "there is no such device"))
}

/// The reason in one line, without full stop.
fn explain(error: &cpal::Error) -> String {
    let text = match error.kind() {
        ErrorKind::DeviceNotAvailable => "not available: no sound card, or it was unplugged".into(),
        ErrorKind::DeviceBusy => "busy: another program uses it".into(),
        ErrorKind::PermissionDenied => "permission denied: is the user in group audio?".into(),
        // ALSA's own words: "ALSA function 'snd_pcm_…' failed with error '…'".
        _ => error.to_string(),
    };
    text.trim_end_matches('.').replace('\n', " ")
}

/// The error callback: not in the path of the sound.
fn on_error(health: &Health, holder: &Thread, error: &cpal::Error) {
    let fatal = match error.kind() {
        // The stream goes on after these.
        ErrorKind::Xrun | ErrorKind::DeviceChanged | ErrorKind::RealtimeDenied => false,
        ErrorKind::DeviceNotAvailable
        | ErrorKind::StreamInvalidated
        | ErrorKind::HostUnavailable
        | ErrorKind::PermissionDenied => true,
        _ => {
            let now = health.opened.elapsed().as_millis() as u64 + 1;
            let kept = health.failing.compare_exchange(0, now, Relaxed, Relaxed);
            let began = kept.map_or_else(|began| began, |_| now);
            thread::sleep(BREATH);
            now - began >= HOPELESS.as_millis() as u64
        }
    };
    if fatal {
        let _ = health.fault.set(explain(error));
        health.lost.store(true, Ordering::Release);
        holder.unpark();
    }
}

/// Samples converted at a time, on the callback's stack.
const BLOCK: usize = 512;

fn build_input(
    device: &cpal::Device,
    stream: StreamConfig,
    kind: SampleFormat,
    config: &DeviceConfig,
    health: Arc<Health>,
) -> Result<(cpal::Stream, AppSource), cpal::Error> {
    let format = ring_format(&stream, true);
    let (writer, source) = ring::source(format, config.buffer, Pace::Device);
    macro_rules! input {
        ($($format:ident $sample:ty),*) => {
            match kind {
                $(SampleFormat::$format => {
                    input::<$sample>(device, stream, format.channels, writer, health)
                })*
                _ => Err(ErrorKind::UnsupportedConfig.into()),
            }
        };
    }
    let stream = input!(
        I16 i16, F32 f32, I32 i32, I24 cpal::I24, U16 u16, U32 u32, U24 cpal::U24, F64 f64, I64 i64,
        U64 u64, U8 u8, I8 i8
    )?;
    Ok((stream, source))
}

fn input<T>(
    device: &cpal::Device,
    stream: StreamConfig,
    channels: u16,
    mut writer: PcmWriter,
    health: Arc<Health>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample,
    i16: FromSample<T>,
{
    let (from, to) = (usize::from(stream.channels), usize::from(channels));
    let (holder, faults) = (thread::current(), health.clone());
    let capture = move |data: &[T], _: &cpal::InputCallbackInfo| {
        health.failing.store(0, Relaxed);
        capture(data, from, to, |pcm| {
            writer.write(pcm);
        });
    };
    device.build_input_stream(stream, capture, move |e| on_error(&faults, &holder, &e), None)
}

/// Converts frames of `from` channels into frames of the first `to`, a block at a time.
fn capture<T: Copy>(data: &[T], from: usize, to: usize, mut write: impl FnMut(&[i16]))
where
    i16: FromSample<T>,
{
    let mut block = [0; BLOCK];
    for frames in data.chunks(BLOCK / to * from) {
        let mut used = 0;
        for frame in frames.chunks_exact(from) {
            for sample in &frame[..to] {
                block[used] = i16::from_sample_(*sample);
                used += 1;
            }
        }
        write(&block[..used]);
    }
}

fn build_output(
    device: &cpal::Device,
    stream: StreamConfig,
    kind: SampleFormat,
    config: &DeviceConfig,
    health: Arc<Health>,
) -> Result<(cpal::Stream, AppSink), cpal::Error> {
    let format = ring_format(&stream, false);
    let (sink, reader) = ring::sink(format, config.buffer, Pace::Device);
    macro_rules! output {
        ($($format:ident $sample:ty),*) => {
            match kind {
                $(SampleFormat::$format => {
                    output::<$sample>(device, stream, format.channels, reader, health)
                })*
                _ => Err(ErrorKind::UnsupportedConfig.into()),
            }
        };
    }
    let stream = output!(
        I16 i16, F32 f32, I32 i32, I24 cpal::I24, U16 u16, U32 u32, U24 cpal::U24, F64 f64, I64 i64,
        U64 u64, U8 u8, I8 i8
    )?;
    Ok((stream, sink))
}

fn output<T>(
    device: &cpal::Device,
    stream: StreamConfig,
    channels: u16,
    mut reader: PcmReader,
    health: Arc<Health>,
) -> Result<cpal::Stream, cpal::Error>
where
    T: SizedSample + FromSample<i16>,
{
    let (to, from) = (usize::from(stream.channels), usize::from(channels));
    let (holder, faults) = (thread::current(), health.clone());
    let play = move |data: &mut [T], _: &cpal::OutputCallbackInfo| {
        health.failing.store(0, Relaxed);
        play(data, to, from, |pcm| {
            reader.read_all(pcm);
        });
    };
    device.build_output_stream(stream, play, move |e| on_error(&faults, &holder, &e), None)
}

/// Fills frames of `to` channels from frames of `from`; channels beyond those stay silent.
fn play<T: Copy + Sample + FromSample<i16>>(
    data: &mut [T],
    to: usize,
    from: usize,
    mut read: impl FnMut(&mut [i16]),
) {
    let mut block = [0; BLOCK];
    for frames in data.chunks_mut(BLOCK / from * to) {
        let used = frames.len() / to * from;
        read(&mut block[..used]);
        for (frame, pcm) in frames.chunks_exact_mut(to).zip(block.chunks_exact(from)) {
            let (front, rest) = frame.split_at_mut(from);
            for (slot, sample) in front.iter_mut().zip(pcm) {
                *slot = T::from_sample_(*sample);
            }
            rest.fill(T::EQUILIBRIUM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captured_samples_of_any_type_become_sixteen_bits() {
        let mut heard = Vec::new();
        capture(&[0.0_f32, 0.5, -1.0], 1, 1, |pcm| heard.extend_from_slice(pcm));
        capture(&[0x8000_u16, 0xFFFF, 0], 1, 1, |pcm| heard.extend_from_slice(pcm));
        capture(&[0_i32, 0x1234_0000, i32::MIN], 1, 1, |pcm| heard.extend_from_slice(pcm));
        assert_eq!(heard, [0, 16_384, -32_768, 0, 32_767, -32_768, 0, 0x1234, -32_768]);
    }

    #[test]
    fn of_many_microphones_the_first_is_heard() {
        let frames: Vec<i16> = (0..4_000).map(|n| if n % 4 == 0 { n / 4 } else { -1 }).collect();
        let mut heard = Vec::new();
        capture(&frames, 4, 1, |pcm| heard.extend_from_slice(pcm));
        assert_eq!(heard, (0..1_000).collect::<Vec<i16>>());
    }

    #[test]
    fn of_many_loudspeakers_the_front_pair_plays() {
        let mut next = 0;
        let mut data = [9_u16; 6 * 1_000];
        play(&mut data, 6, 2, |pcm| {
            for slot in pcm {
                *slot = next;
                next += 1;
            }
        });
        for (n, frame) in data.chunks_exact(6).enumerate() {
            let n = n as u16;
            assert_eq!(frame[..2], [0x8000 + 2 * n, 0x8001 + 2 * n]);
            assert_eq!(frame[2..], [0x8000; 4], "unsigned silence");
        }
    }

    #[test]
    fn a_device_that_is_unplugged_is_reported_and_the_pace_goes_to_a_timer() {
        let format = AudioFormat::new(48_000, 1);
        let config = DeviceConfig::default();
        let (mut writer, ring) = ring::source(format, config.buffer, Pace::Device);
        let holder = Holder { health: Health::new(), thread: None };
        let mut source = DeviceSource { ring, holder };
        let health = source.holder.health.clone();
        writer.write(&[5; 480]);
        assert_eq!(source.available(), Some(480));

        let us = thread::current();
        on_error(&health, &us, &ErrorKind::Xrun.into());
        on_error(&health, &us, &ErrorKind::DeviceChanged.into());
        assert_eq!((source.available(), source.fault()), (Some(480), None), "glitches are no loss");

        on_error(&health, &us, &ErrorKind::DeviceNotAvailable.into());
        assert_eq!(source.available(), None);
        assert_eq!(
            source.fault().as_deref(),
            Some("not available: no sound card, or it was unplugged")
        );
        assert!(!source.finished(), "what was heard before is still there");
        assert_eq!(source.read(&mut [0; 480]), 480);
        assert!(source.finished());

        let (ring, _reader) = ring::sink(format, config.buffer, Pace::Device);
        let mut sink = DeviceSink { ring, holder: Holder { health, thread: None } };
        sink.write(&[1; 480]);
        assert_eq!(sink.queued(), None);
        assert!(sink.fault().is_some());
    }

    #[test]
    fn errors_for_two_seconds_without_sound_are_a_loss() {
        let us = thread::current();
        let failing_since = |ago: Duration| {
            let mut health = Health::new();
            let opened = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
            Arc::get_mut(&mut health).unwrap().opened = opened;
            let began = (Duration::from_secs(60) - ago).as_millis() as u64 + 1;
            health.failing.store(began, Relaxed);
            on_error(&health, &us, &ErrorKind::BackendError.into());
            health
        };
        assert!(!failing_since(Duration::from_secs(1)).lost.load(Relaxed));
        let lost = failing_since(HOPELESS);
        assert!(lost.lost.load(Relaxed) && lost.fault.get().is_some());

        let health = Health::new();
        on_error(&health, &us, &ErrorKind::BackendError.into());
        assert_ne!(health.failing.load(Relaxed), 0, "the time counts from the first error on");
    }
}
