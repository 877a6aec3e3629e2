//! Logs.
//!
//! Owns where log lines go and what they look like. Never decides what is worth a line.

use std::io::{self, IsTerminal};

use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::args::{Common, LogFormat};

/// Starts logging to standard error, in colour only where a person looks at it. Fails if it was started before.
pub fn init(args: &Common) -> Result<(), TryInitError> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let lines = match args.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(args.log_level.clone()))
        .try_init()
}
