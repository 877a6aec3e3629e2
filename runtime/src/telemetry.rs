//! Logs.
//!
//! Owns where log lines go and what they look like. Never decides what is worth a line.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, reload};

use crate::args::{Common, LogFormat};
use crate::levels::Levels;

/// Starts logging to standard error, in colour only where a person looks at it. Fails if it was started before. What is
/// logged from then on can be changed.
pub fn init(args: &Common) -> Result<Levels, TryInitError> {
    let (subscriber, levels) = subscriber(args, io::stderr().is_terminal(), io::stderr);
    subscriber.try_init()?;
    Ok(levels)
}

fn subscriber<W>(args: &Common, is_coloured: bool, writer: W) -> (impl Subscriber + use<W>, Levels)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(is_coloured);
    let lines = match args.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (filter, handle) = reload::Layer::new(args.log_level.clone());
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    (subscriber, Levels::new(handle))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::{Arc, Mutex};

    use tracing::{debug, info};

    use super::*;
    use crate::levels;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().map_err(|_| io::ErrorKind::Other)?;
            lines.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn logging(log_format: LogFormat) -> (impl Subscriber, Levels, Lines) {
        let args = Common {
            log_format,
            log_level: levels::parse("info").unwrap(),
            admin_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, levels) = subscriber(&args, false, move || writer.clone());
        (subscriber, levels, lines)
    }

    #[test]
    fn what_is_logged_follows_the_levels_while_the_process_runs() {
        let (subscriber, levels, lines) = logging(LogFormat::Text);
        tracing::subscriber::with_default(subscriber, || {
            let say = |text: &str| debug!("{text}");
            say("before");
            levels.set(levels::parse("debug").unwrap()).unwrap();
            say("meanwhile");
            levels.set(levels::parse("warn").unwrap()).unwrap();
            say("after");
            info!("nor this");
        });
        let text = lines.text();
        assert!(text.contains("meanwhile"), "{text}");
        assert!(
            !text.contains("before") && !text.contains("after"),
            "{text}"
        );
        assert!(!text.contains("nor this"), "{text}");
    }

    #[test]
    fn each_line_is_one_json_object_where_that_is_asked_for() {
        let (subscriber, _levels, lines) = logging(LogFormat::Json);
        tracing::subscriber::with_default(subscriber, || info!(egress = "web", "egress IP given"));
        let line: serde_json::Value = serde_json::from_str(&lines.text()).unwrap();
        assert_eq!(line["message"], "egress IP given");
        assert_eq!(line["egress"], "web");
        assert_eq!(line["level"], "INFO");
    }
}
