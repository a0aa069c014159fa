//! Chooses among the stream formats that a device offers.

use cpal::{
    BufferSize, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfigRange,
};
use std::time::Duration;
use tiny_media::AudioFormat;

/// Sample types that we can convert, the cheapest first.
const TYPES: [SampleFormat; 12] = [
    SampleFormat::I16,
    SampleFormat::F32,
    SampleFormat::I32,
    SampleFormat::I24,
    SampleFormat::U16,
    SampleFormat::U32,
    SampleFormat::U24,
    SampleFormat::F64,
    SampleFormat::I64,
    SampleFormat::U64,
    SampleFormat::U8,
    SampleFormat::I8,
];

/// The offer nearest to what is wanted, and its sample type; `None` when nothing can be used.
pub(super) fn choose(
    offers: impl Iterator<Item = SupportedStreamConfigRange>,
    wanted: AudioFormat,
    period: Duration,
) -> Option<(StreamConfig, SampleFormat)> {
    let usable = offers.filter_map(|offer| {
        let kind = TYPES.iter().position(|t| *t == offer.sample_format())?;
        let rate = wanted.rate.clamp(offer.min_sample_rate(), offer.max_sample_rate());
        Some((cost(&offer, rate, wanted), kind, rate, offer))
    });
    let (_, kind, rate, offer) = usable.min_by_key(|(cost, kind, ..)| (*cost, *kind))?;
    let frames = AudioFormat::new(rate, 1).samples(period) as u32;
    let buffer_size = match offer.buffer_size() {
        SupportedBufferSize::Range { min, max } if (*min..=*max).contains(&frames) => {
            BufferSize::Fixed(frames)
        }
        _ => BufferSize::Default,
    };
    let config = StreamConfig { channels: offer.channels(), sample_rate: rate, buffer_size };
    Some((config, TYPES[kind]))
}

/// How far an offer at a rate is from what is wanted: first a rate that loses nothing, then channels.
fn cost(offer: &SupportedStreamConfigRange, rate: u32, wanted: AudioFormat) -> (u8, u32, u8, u16) {
    let rates = match rate {
        r if r == wanted.rate => (0, 0),
        r if r > wanted.rate => (1, r - wanted.rate),
        r => (2, wanted.rate - r),
    };
    let channels = match offer.channels() {
        c if c == wanted.channels => (0, 0),
        // Mono and stereo are adapted by the stream; of more channels we use the first ones.
        c @ (1 | 2) => (1, c),
        c => (2, c),
    };
    (rates.0, rates.1, channels.0, channels.1)
}

/// What our side of the ring carries for a stream of these channels: mono and stereo as they are; of
/// more, the first two (a loudspeaker's front pair) or the first (one of many microphones).
pub(super) fn ring_format(config: &StreamConfig, input: bool) -> AudioFormat {
    let channels = match config.channels {
        1 => 1,
        2 => 2,
        _ if input => 1,
        _ => 2,
    };
    AudioFormat::new(config.sample_rate, channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(20);

    fn offer(channels: u16, rates: (u32, u32), kind: SampleFormat) -> SupportedStreamConfigRange {
        let buffer = SupportedBufferSize::Range { min: 64, max: 8_192 };
        SupportedStreamConfigRange::new(channels, rates.0, rates.1, buffer, kind)
    }

    fn pick(
        offers: &[SupportedStreamConfigRange],
        wanted: AudioFormat,
    ) -> (u16, u32, SampleFormat) {
        let (config, kind) = choose(offers.iter().copied(), wanted, PERIOD).unwrap();
        (config.channels, config.sample_rate, kind)
    }

    #[test]
    fn the_exact_format_wins_in_the_cheapest_sample_type() {
        let offers = [
            offer(2, (8_000, 192_000), SampleFormat::F32),
            offer(1, (8_000, 192_000), SampleFormat::F32),
            offer(1, (8_000, 192_000), SampleFormat::I16),
            offer(1, (8_000, 192_000), SampleFormat::DsdU8),
        ];
        let mono = AudioFormat::new(48_000, 1);
        assert_eq!(pick(&offers, mono), (1, 48_000, SampleFormat::I16));
        let (config, _) = choose(offers.iter().copied(), mono, PERIOD).unwrap();
        assert_eq!(config.buffer_size, BufferSize::Fixed(960));
    }

    #[test]
    fn a_higher_rate_is_better_than_a_lower_one() {
        let offers = [
            offer(2, (8_000, 8_000), SampleFormat::I16),
            offer(2, (44_100, 44_100), SampleFormat::I32),
            offer(2, (96_000, 96_000), SampleFormat::I16),
        ];
        let wanted = AudioFormat::new(16_000, 1);
        assert_eq!(pick(&offers, wanted), (2, 44_100, SampleFormat::I32));
        assert_eq!(pick(&offers[..1], wanted), (2, 8_000, SampleFormat::I16));
    }

    #[test]
    fn stereo_is_better_than_surround_for_mono() {
        let offers = [
            offer(6, (48_000, 48_000), SampleFormat::I16),
            offer(2, (48_000, 48_000), SampleFormat::F32),
        ];
        assert_eq!(pick(&offers, AudioFormat::new(48_000, 1)), (2, 48_000, SampleFormat::F32));
    }

    #[test]
    fn a_device_without_any_sample_type_of_ours_is_not_usable() {
        let offers = [offer(2, (48_000, 48_000), SampleFormat::DsdU32)];
        assert!(choose(offers.iter().copied(), AudioFormat::new(48_000, 1), PERIOD).is_none());
    }

    #[test]
    fn many_channels_become_the_first_ones() {
        let config =
            StreamConfig { channels: 8, sample_rate: 48_000, buffer_size: BufferSize::Default };
        assert_eq!(ring_format(&config, true).channels, 1);
        assert_eq!(ring_format(&config, false).channels, 2);
    }
}
