//! Reading objects of the API server, for ever.
//!
//! Owns the passage from the API's watch to what a consumer can rely on: every deletion is reported, also one that
//! was missed while disconnected; an object of the same name but another UID is first reported as deleted; an object
//! that does not decode is reported and the watch goes on. And the loop that tells a consumer what its reading makes of
//! that. A watch never ends, never fails, never keeps the objects.

mod guarded;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Debug};
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::{self, Config};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tracing::{info, warn};

pub use self::guarded::Guarded;
use self::guarded::Malformed;
use crate::backoff::Limits;
use crate::{describe, metrics};

/// Short enough to go on at once after an API server's restart, long enough not to press one that is ill.
const BACKOFF: Limits = Limits {
    first: Duration::from_millis(200),
    most: Duration::from_secs(3),
};

/// Objects per request of a list. All of one answer are in memory at once, decoded, at tens of KiB each.
const PAGE: u32 = 100;

/// Which object: its namespace, where it has one, and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// The object's name.
    pub name: String,
}

impl Key {
    /// The key in an object's metadata.
    pub fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<K> {
    /// It is there, new or changed or (after a reconnection) unchanged.
    Applied(K),
    /// It is gone.
    Deleted(Key),
    /// It is there, but is not what its type says. What was known of it before still stands.
    Undecodable {
        /// Which.
        key: Key,
        /// What does not fit.
        error: String,
        /// The object as it came, for what of it can be read all the same.
        object: Value,
    },
    /// All objects that existed at one moment have been reported: at the start, and after each reconnection that
    /// needed a new list.
    Synced,
}

/// Reports what happens to the objects of a kind, beginning with those that exist. `api` is made as
/// `Api::all(client)`: the guard in its type only keeps one undecodable object from stopping the rest.
pub fn watch<K>(api: Api<Guarded<K>>, config: Config) -> impl Stream<Item = Event<K>> + Send + Unpin
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    let watch = Watch {
        source: watcher::watcher(api, config.page_size(PAGE)).boxed(),
        connection: Connection { kind, failures: 0 },
        seen: Seen::default(),
        ready: VecDeque::new(),
    };
    futures::stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await;
        Some((event, watch))
    })
    .boxed()
}

/// The same for all objects of a kind.
pub fn watch_all<K>(client: Client) -> impl Stream<Item = Event<K>> + Send + Unpin
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
    K::DynamicType: Default,
{
    watch(Api::all(client), Config::default())
}

/// What a consumer is told of the objects of one source. `None`: nothing.
#[derive(Debug)]
pub struct Reading<Source, Told, Gone, Malformed> {
    /// The source. A message can be made of it: that all has been told.
    pub source: Source,
    /// Of an object that is there.
    pub told: Told,
    /// Of one that is gone.
    pub gone: Gone,
    /// Of one that does not decode, as it came, and with what is wrong.
    pub malformed: Malformed,
}

/// Tells what follows from each event, until nobody listens any more. Who is slow is waited for.
pub async fn follow<K, Message: From<Source>, Source: Copy + Debug>(
    mut events: impl Stream<Item = Event<K>> + Unpin,
    reading: Reading<
        Source,
        impl Fn(K) -> Option<Message>,
        impl Fn(&Key) -> Message,
        impl Fn(&Key, &Value, &str) -> Option<Message>,
    >,
    sink: mpsc::Sender<Message>,
) {
    let source = reading.source;
    while let Some(event) = events.next().await {
        let message = match event {
            Event::Applied(object) => (reading.told)(object),
            Event::Deleted(key) => Some((reading.gone)(&key)),
            Event::Undecodable { key, error, object } => {
                warn!(?source, object = %key, error, "cannot be read: left as it was known before");
                (reading.malformed)(&key, &object, &error)
            }
            Event::Synced => Some(source.into()),
        };
        if let Some(message) = message
            && sink.send(message).await.is_err()
        {
            return;
        }
    }
}

type Source<K> = Pin<Box<dyn Stream<Item = watcher::Result<watcher::Event<Guarded<K>>>> + Send>>;

struct Watch<K> {
    source: Source<K>,
    connection: Connection,
    seen: Seen,
    ready: VecDeque<Event<K>>,
}

impl<K: Resource> Watch<K> {
    async fn next(&mut self) -> Event<K> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            match self.source.next().await {
                Some(Ok(event)) => {
                    self.connection.works(&event);
                    self.ready.extend(self.seen.take(event));
                }
                Some(Err(error)) => self.connection.failed(&error).await,
                // The source has no end.
                None => std::future::pending().await,
            }
        }
    }
}

/// Failures in a row, and what is said about them.
struct Connection {
    kind: String,
    failures: u32,
}

impl Connection {
    fn works<K>(&mut self, event: &watcher::Event<K>) {
        metrics::watches().told(&self.kind, Timestamp::now().as_second());
        // The mark before a list says nothing yet: the list may fail.
        if self.failures > 0 && !matches!(event, watcher::Event::Init) {
            info!(kind = self.kind, "watching again");
            self.failures = 0;
        }
    }

    async fn failed(&mut self, error: &watcher::Error) {
        metrics::watches().failed(&self.kind, error);
        if is_expired(error) {
            // The server answers, but remembers less than was missed: list anew, and soon.
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let delay = BACKOFF.delay(self.failures);
        warn!(
            kind = self.kind,
            error = describe(error),
            ?delay,
            "watch failed, will retry"
        );
        tokio::time::sleep(delay).await;
    }
}

fn is_expired(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

/// Which objects the consumer has been told of, with their UIDs, so that it can be told of what it missed.
#[derive(Default)]
struct Seen {
    known: BTreeMap<Key, Option<String>>,
    listing: BTreeSet<Key>,
}

impl Seen {
    fn take<K: Resource>(&mut self, event: watcher::Event<Guarded<K>>) -> Vec<Event<K>> {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                self.listing.insert(Key::of(object.meta()));
                self.applied(object)
            }
            watcher::Event::InitDone => self.listed(),
            watcher::Event::Apply(object) => self.applied(object),
            watcher::Event::Delete(object) => self.deleted(Key::of(object.meta())),
        }
    }

    fn applied<K: Resource>(&mut self, object: Guarded<K>) -> Vec<Event<K>> {
        let key = Key::of(object.meta());
        let uid = object.meta().uid.clone();
        let before = self.known.insert(key.clone(), uid.clone());
        let mut events = Vec::new();
        if before.is_some_and(|before| before != uid) {
            events.push(Event::Deleted(key.clone()));
        }
        events.push(match object.0 {
            Ok(object) => Event::Applied(object),
            Err(Malformed { error, object, .. }) => Event::Undecodable { key, error, object },
        });
        events
    }

    fn deleted<K>(&mut self, key: Key) -> Vec<Event<K>> {
        self.known.remove(&key);
        vec![Event::Deleted(key)]
    }

    fn listed<K>(&mut self) -> Vec<Event<K>> {
        let listing = std::mem::take(&mut self.listing);
        let gone: Vec<Key> = self
            .known
            .keys()
            .filter(|key| !listing.contains(key))
            .cloned()
            .collect();
        let mut events: Vec<_> = gone.into_iter().flat_map(|key| self.deleted(key)).collect();
        events.push(Event::Synced);
        events
    }
}

#[cfg(test)]
mod tests;
