//! What plugs into tiny-media: codecs, devices, files.
//!
//! - [`builtin_registry`]: Opus, G.722, PCMU and PCMA in that order, and the system's sound cards
//!   with feature `device`.
//! - [`G711`], [`G722`], [`Opus`], [`L16`]: the codecs one by one.
//! - [`open_source`], [`open_sink`]: sound from or to what a person typed: `default`, a device id,
//!   `file.wav`, `tone:440`, `silence`, `null`.
//! - [`WavFile`], [`WavSource`], [`WavSink`]: files; a file being written is valid at every moment.
//! - [`Tone`], [`Silence`], [`Null`]: without any hardware.
//!
//! ```
//! let registry = tiny_dav::builtin_registry();
//! let names: Vec<_> = registry.codecs().iter().map(|c| c.description().name).collect();
//! assert_eq!(names, ["opus", "G722", "PCMU", "PCMA"]);
//! ```

mod codec;
mod config;
#[cfg(feature = "device")]
mod device;
mod registry;
mod signal;
mod spec;
mod wav;

pub use codec::g711;
pub use codec::{G711, G722, L16, Opus, OpusConfig};
pub use config::Config;
#[cfg(feature = "device")]
pub use device::{CpalBackend, DeviceConfig};
pub use registry::{builtin_registry, registry};
pub use signal::{Null, Silence, Tone};
pub use spec::{SinkOptions, SourceOptions, open_sink, open_source};
pub use wav::{WavFile, WavSink, WavSource, WavWriter};
