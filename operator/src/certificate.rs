//! The webhook's certificates: an authority of Egret's own, what it signs, and that the API server trusts it.
//!
//! Owns what this part of the operator needs from outside, and what can go wrong in it. Start reading at [`keeper`], the
//! loop; [`plan`] decides, [`read`] understands what [`store`] has read, [`issue`] makes what it writes, [`registration`]
//! is what the API server is told, [`probe`] asks the replicas, [`lag`] tells when that takes too long. Never shows a key to
//! anybody but the Secrets.

pub mod changes;
pub mod issue;
pub mod keeper;
pub mod lag;
pub mod plan;
pub mod probe;
pub mod read;
pub mod registration;
pub mod store;

use std::net::SocketAddr;

use egret_runtime::apply;
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::keeper::{Kind, Trouble};

use self::plan::Der;
use self::probe::Answers;

/// Why the certificates are not as they should be.
#[derive(Debug, Error)]
pub enum Problem {
    /// An object could not be read or written.
    #[error(transparent)]
    Api(#[from] apply::Error),
    /// A key or a certificate could not be made.
    #[error("a certificate could not be made")]
    Issue(#[from] rcgen::Error),
    /// The replicas could not be asked.
    #[error("the webhook's replicas could not be asked")]
    Tls(#[from] rustls::Error),
    /// Nowhere to put them, or not for long.
    #[error("there is no namespace {0}, the only one that Egret can be in: apply config/default")]
    NoNamespace(String),
    /// Somebody else writes the same objects, or the API server drops fields that it does not know.
    #[error(
        "the Secrets or webhook configurations are changed all the time: see their managedFields; or this Kubernetes does not \
         keep all fields of a registration (matchConditions are there from 1.30 on): see what is missing in them"
    )]
    Restless,
}

impl Trouble for Problem {
    fn kind(&self) -> Kind {
        match self {
            Self::Api(error) => Kind::Api(error.category()),
            Self::Issue(_) => Kind::Other("issue"),
            Self::Tls(_) => Kind::Other("tls"),
            Self::NoNamespace(_) => Kind::Other("no_namespace"),
            Self::Restless => Kind::Other("restless"),
        }
    }

    fn restless() -> Self {
        Self::Restless
    }
}

/// Where the webhook is, and how long its certificates are valid.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its namespace.
    pub namespace: String,
    /// The life of its certificate.
    pub lifetime: SignedDuration,
}

/// What the keeper cannot do by itself.
pub trait Outside: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Which of these replicas serve a certificate for this name that this authority has signed.
    fn serving(
        &self,
        replicas: Vec<SocketAddr>,
        name: String,
        root: Der,
    ) -> impl Future<Output = Result<Answers, rustls::Error>> + Send;
}

/// The real clock and the real network.
#[derive(Debug, Clone, Copy)]
pub struct Real;

impl Outside for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn serving(
        &self,
        replicas: Vec<SocketAddr>,
        name: String,
        root: Der,
    ) -> Result<Answers, rustls::Error> {
        probe::serving(replicas, &name, &root).await
    }
}
