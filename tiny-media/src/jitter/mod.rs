//! The adaptive jitter buffer.

mod config;
pub use config::JitterConfig;
