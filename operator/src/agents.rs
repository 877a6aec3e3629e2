//! The agents: their configuration, the keys of their gossip, and the `DaemonSet` that runs them.
//!
//! Owns what this part of the operator needs from outside, and what can go wrong in it. [`configure`] finds out which
//! settings are in force and tells everybody; [`keeper`] is the loop that makes the objects be so, [`plan`] decides its
//! steps, [`rotation`] those of the keys, [`daemon_set`] has the manifest, [`store`] reads and writes. Never shows a key to
//! anybody but the Secret.

pub mod changes;
pub mod configure;
pub mod daemon_set;
pub mod keeper;
pub mod plan;
pub mod rotation;
pub mod store;

use aws_lc_rs::rand;
use egret_crds::keyring::{KEY_BYTES, Key};
use egret_runtime::apply;
use jiff::Timestamp;
use thiserror::Error;

use crate::keeper::{Kind, Trouble};

/// Why the agents are not as they should be.
#[derive(Debug, Error)]
pub enum Problem {
    /// An object could not be read or written.
    #[error(transparent)]
    Api(#[from] apply::Error),
    /// No randomness.
    #[error("no random bytes for a gossip key")]
    Random,
    /// Somebody else writes the same objects.
    #[error(
        "the ConfigMap, Secret or DaemonSet of the agents is changed all the time: see its managedFields"
    )]
    Restless,
}

impl Trouble for Problem {
    fn kind(&self) -> Kind {
        match self {
            Self::Api(error) => Kind::Api(error.category()),
            Self::Random => Kind::Other("random"),
            Self::Restless => Kind::Other("restless"),
        }
    }

    fn restless() -> Self {
        Self::Restless
    }
}

/// What the keeper cannot do by itself.
pub trait Outside: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// A new key.
    fn key(&self) -> Result<Key, Problem>;
}

/// The real clock and real randomness.
#[derive(Debug, Clone, Copy)]
pub struct Real;

impl Outside for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn key(&self) -> Result<Key, Problem> {
        let mut bytes = [0; KEY_BYTES];
        rand::fill(&mut bytes).map_err(|_| Problem::Random)?;
        Ok(Key::new(bytes))
    }
}
