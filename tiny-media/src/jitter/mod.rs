//! The adaptive jitter buffer.

mod conceal;
mod config;
mod pitch;
mod stretch;
pub use config::JitterConfig;
