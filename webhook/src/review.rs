//! The question: an `AdmissionReview` of `admission.k8s.io/v1`.
//!
//! Owns what of it is read, and which questions are not for this webhook. Objects stay JSON here: a mutating webhook
//! sees what the schema would refuse. Never answers.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use serde_json::error::Category;
use thiserror::Error;

use crate::excerpt::excerpt;

/// The version of reviews in question and answer.
pub const API_VERSION: &str = "admission.k8s.io/v1";
/// What question and answer are called.
pub const REVIEW: &str = "AdmissionReview";
/// The group of both kinds.
const GROUP: &str = "crd.antrea.io";
/// No name in the API is longer, in bytes. More of what a question calls itself and others is not kept.
const TEXT_MAX: usize = 253;
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha2"];

/// The kinds that are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An Egress.
    Egress,
    /// An `ExternalIPPool`.
    Pool,
}

impl Kind {
    /// As the API calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Egress => "Egress",
            Self::Pool => "ExternalIPPool",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a body is no question.
#[derive(Debug, Error)]
pub enum Malformed {
    /// It is no JSON, or not of this shape. The decoder's own words may repeat all that was sent.
    #[error("not an {REVIEW}: {what} at line {line}, column {column}")]
    Shape {
        /// What kind of error it is.
        what: &'static str,
        /// Where it is, from 1.
        line: usize,
        /// And there.
        column: usize,
    },
    /// It calls itself something else.
    #[error("not an {REVIEW} of {API_VERSION}, but {kind:?} of {api_version:?}")]
    Other {
        /// What it calls itself.
        kind: String,
        /// And of which version.
        api_version: String,
    },
    /// It asks nothing.
    #[error("an {REVIEW} without a request that has a uid of at most {TEXT_MAX} bytes")]
    Empty,
}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self::Shape {
            what: match error.classify() {
                Category::Io => "unreadable",
                Category::Syntax => "no JSON",
                Category::Data => "another shape",
                Category::Eof => "cut short",
            },
            line: error.line(),
            column: error.column(),
        }
    }
}

/// Why a question is not for this webhook: it was registered for something else than it serves.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unexpected {
    /// About another kind, or a version that is not served.
    #[error("asked about {asked}, but only Egress and ExternalIPPool of {GROUP}, {} are known here", VERSIONS.join(" and "))]
    Kind {
        /// What was asked about.
        asked: String,
    },
    /// About a part of an object.
    #[error("asked about subresource {0:?}, of which nothing is known")]
    Subresource(String),
    /// About something that is not done to objects.
    #[error("asked about operation {0:?}, of which nothing is known")]
    Operation(String),
    /// Without the object.
    #[error("asked about {0} without it")]
    NoObject(&'static str),
    /// With an object that is something else.
    #[error("the object is {found}, but was announced as {asked}")]
    Object {
        /// What the object calls itself.
        found: String,
        /// What was asked about.
        asked: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

/// What is asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Repeated in the answer.
    pub uid: String,
    /// The kind of the object.
    pub kind: GroupVersionKind,
    /// The part of the object that is changed; empty for the whole.
    #[serde(default)]
    pub sub_resource: String,
    /// The object's name; empty if the API server is still to make it up.
    #[serde(default)]
    pub name: String,
    /// What is done: `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: String,
    /// Who does it.
    #[serde(default)]
    pub user_info: UserInfo,
    /// Whether nothing is stored in the end.
    #[serde(default)]
    pub dry_run: bool,
    /// The object as it is to be.
    #[serde(default)]
    pub object: Value,
    /// The object as it is.
    #[serde(default)]
    pub old_object: Value,
}

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub struct GroupVersionKind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}/{}", self.kind, self.group, self.version)
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct UserInfo {
    /// The name that authentication has found.
    #[serde(default)]
    pub username: String,
}

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'a> {
    /// It is made.
    Create(&'a Value),
    /// It is changed.
    Update {
        /// As it is.
        old: &'a Value,
        /// As it is to be.
        new: &'a Value,
    },
    /// It is deleted.
    Delete,
    /// Only its status is written, by a request that changes nothing else.
    Status,
}

/// The question in a body. Its texts are repeated in answers and logs, so no more is kept of them than of a name.
pub fn decode(body: &[u8]) -> Result<Request, Malformed> {
    let Review {
        api_version,
        kind,
        request,
    } = serde_json::from_slice(body)?;
    let [kind, api_version] = [kind, api_version].map(|text| excerpt(text, TEXT_MAX));
    if api_version != API_VERSION || kind != REVIEW {
        return Err(Malformed::Other { kind, api_version });
    }
    let mut request = request
        .filter(|request| !request.uid.is_empty() && request.uid.len() <= TEXT_MAX)
        .ok_or(Malformed::Empty)?;
    for text in [&mut request.name, &mut request.user_info.username] {
        *text = excerpt(std::mem::take(text), TEXT_MAX);
    }
    Ok(request)
}

impl Request {
    /// The kind of the object, if it is one of those that are known here.
    pub fn subject(&self) -> Result<Kind, Unexpected> {
        let GroupVersionKind {
            group,
            version,
            kind: asked,
        } = &self.kind;
        let is_served = group == GROUP && VERSIONS.contains(&version.as_str());
        [Kind::Egress, Kind::Pool]
            .into_iter()
            .find(|kind| is_served && kind.as_str() == asked)
            .ok_or_else(|| Unexpected::Kind {
                asked: self.kind.to_string(),
            })
    }

    /// What is to happen to the object.
    pub fn change(&self) -> Result<Change<'_>, Unexpected> {
        match (self.operation.as_str(), self.sub_resource.as_str()) {
            ("UPDATE", "status") => Ok(Change::Status),
            (_, part) if !part.is_empty() => Err(Unexpected::Subresource(part.to_owned())),
            ("CREATE", _) => Ok(Change::Create(
                self.announced(&self.object, "the new object")?,
            )),
            ("UPDATE", _) => Ok(Change::Update {
                old: self.announced(&self.old_object, "the old object")?,
                new: self.announced(&self.object, "the new object")?,
            }),
            // Whether there is an object to see depends on how much is deleted at once.
            ("DELETE", _) => Ok(Change::Delete),
            (other, _) => Err(Unexpected::Operation(other.to_owned())),
        }
    }

    /// The object, if it is there and what it should be.
    fn announced<'a>(
        &self,
        object: &'a Value,
        which: &'static str,
    ) -> Result<&'a Value, Unexpected> {
        if !object.is_object() {
            return Err(Unexpected::NoObject(which));
        }
        let text = |field: &str| {
            object
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let GroupVersionKind {
            group,
            version,
            kind,
        } = &self.kind;
        let (found, found_version) = (text("kind"), text("apiVersion"));
        if found != kind || found_version != format!("{group}/{version}") {
            return Err(Unexpected::Object {
                found: format!("{found:?} of {found_version:?}"),
                asked: self.kind.to_string(),
            });
        }
        Ok(object)
    }
}
