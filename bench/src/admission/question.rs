//! What is asked.
//!
//! Owns the questions, as the API server would send them, and what has to be answered: who measures a wrong answer
//! measures nothing. Never asks.

use anyhow::{Context, ensure};
use axum::body::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::world::{World, pool_name};

/// Of each question there are so many, about different objects.
pub const VARIANTS: usize = 64;

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A new Egress that wants any address.
    AnyAddress,
    /// A new Egress that names a free address.
    FreeAddress,
    /// A new Egress with fields that are wrong by themselves.
    WrongFields,
    /// A new Egress that names an address which another has: that one is read anew.
    TakenAddress,
    /// A new Egress whose pool is misspelt: that name is read anew.
    MisspeltPool,
    /// An Egress gets other labels.
    Labels,
    /// A pool loses all addresses that are in use: the users that are named are read anew.
    ShrunkPool,
    /// What a new Egress is filled in with.
    Defaults,
}

/// What has to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It may be.
    Allowed,
    /// It may not, and these words say why.
    Refused(&'static str),
    /// It may be, with a patch.
    Filled,
}

/// A question that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Where to.
    pub path: &'static str,
    /// As it is sent.
    pub body: Bytes,
    expected: Expected,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AnyAddress,
        Self::FreeAddress,
        Self::WrongFields,
        Self::TakenAddress,
        Self::MisspeltPool,
        Self::Labels,
        Self::ShrunkPool,
        Self::Defaults,
    ];

    /// In a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::AnyAddress => "create, any address",
            Self::FreeAddress => "create, a free address",
            Self::WrongFields => "create, wrong fields",
            Self::TakenAddress => "create, address taken",
            Self::MisspeltPool => "create, pool misspelt",
            Self::Labels => "update, labels only",
            Self::ShrunkPool => "pool shrunk while in use",
            Self::Defaults => "defaults of a new Egress",
        }
    }

    /// What has to be answered, in a few words.
    pub fn outcome(self) -> &'static str {
        match self.expected() {
            Expected::Allowed => "allowed",
            Expected::Refused(_) if self.rests_on_others() => "refused, second look",
            Expected::Refused(_) => "refused",
            Expected::Filled => "filled in",
        }
    }

    /// Whether the answer rests on another object, which is read anew.
    fn rests_on_others(self) -> bool {
        matches!(
            self,
            Self::TakenAddress | Self::MisspeltPool | Self::ShrunkPool
        )
    }

    fn expected(self) -> Expected {
        match self {
            Self::AnyAddress | Self::FreeAddress | Self::Labels => Expected::Allowed,
            Self::WrongFields => Expected::Refused("spec.egressIP"),
            Self::TakenAddress => Expected::Refused("is in use by Egress"),
            Self::MisspeltPool => Expected::Refused("did you mean"),
            Self::ShrunkPool => Expected::Refused("would lose addresses in use"),
            Self::Defaults => Expected::Filled,
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Defaults => "/mutate",
            _ => "/validate",
        }
    }

    /// The questions of this kind, about objects from all over the world.
    pub fn prepared(self, world: World) -> anyhow::Result<Vec<Prepared>> {
        (0..VARIANTS)
            .map(|variant| {
                let review = self.review(world, variant)?;
                Ok(Prepared {
                    path: self.path(),
                    body: Bytes::from(serde_json::to_vec(&review)?),
                    expected: self.expected(),
                })
            })
            .collect()
    }

    fn review(self, world: World, variant: usize) -> anyhow::Result<Value> {
        let (egress, pool) = (
            spread(variant, world.egresses),
            spread(variant, world.pools),
        );
        let mut new = world.new_egress(variant);
        new.spec.external_ip_pool = Some(pool_name(pool));
        match self {
            Self::AnyAddress => {}
            Self::FreeAddress => new.spec.egress_ip = Some(world.free_address(pool, variant)),
            Self::WrongFields => {
                new.spec.egress_ip = Some("10.0.0.256".to_owned());
                new.spec.except_cidrs = vec!["10.0.0.0/33".to_owned()];
            }
            Self::TakenAddress => {
                let taken = world.egress(egress).context("no such Egress")?.spec;
                new.spec.egress_ip = taken.egress_ip;
                new.spec.external_ip_pool = taken.external_ip_pool;
            }
            Self::MisspeltPool => new.spec.external_ip_pool = Some("pol-000".to_owned()),
            Self::Labels => return relabelled(world, egress),
            Self::ShrunkPool => {
                return changed(&world.pool(pool), &world.shrunk_pool(pool));
            }
            Self::Defaults => return as_written(json!(new)),
        }
        created(&json!(new))
    }
}

/// Numbers from all over a range, the same in each run.
fn spread(variant: usize, count: usize) -> usize {
    variant * 7919 % count.max(1)
}

fn relabelled(world: World, number: usize) -> anyhow::Result<Value> {
    let old = world.egress(number);
    let mut new = old.clone();
    if let Some(new) = &mut new {
        let labels = new.metadata.labels.get_or_insert_default();
        labels.insert("team".to_owned(), "b".to_owned());
    }
    changed(&old, &new)
}

/// Without what the schema fills in later.
fn as_written(mut egress: Value) -> anyhow::Result<Value> {
    if let Some(spec) = egress.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("whenUnavailable");
        spec.remove("priority");
        spec.insert("bandwidth".to_owned(), json!({"rate": "500M"}));
    }
    created(&egress)
}

fn created(object: &Value) -> anyhow::Result<Value> {
    review("CREATE", object, &Value::Null)
}

fn changed(old: &impl Serialize, new: &impl Serialize) -> anyhow::Result<Value> {
    review("UPDATE", &json!(new), &json!(old))
}

fn review(operation: &str, object: &Value, old: &Value) -> anyhow::Result<Value> {
    let text = |pointer: &str| {
        let found = object.pointer(pointer).and_then(Value::as_str);
        found
            .map(str::to_owned)
            .with_context(|| format!("no {pointer}"))
    };
    let (kind, name) = (text("/kind")?, text("/metadata/name")?);
    let resource = match kind.as_str() {
        "Egress" => "egresses",
        _ => "externalippools",
    };
    let kind = json!({"group": "crd.antrea.io", "version": "v1beta1", "kind": kind});
    let resource = json!({"group": "crd.antrea.io", "version": "v1beta1", "resource": resource});
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "6b1e0a0e-3f0b-4b6c-9a55-0f6f7c1f0a11",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": name, "operation": operation,
            "userInfo": {"username": "alice", "groups": ["system:authenticated"]},
            "object": object, "oldObject": old, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl"},
        },
    }))
}

impl Prepared {
    /// Whether this is the answer.
    pub fn check(&self, answer: &[u8]) -> anyhow::Result<()> {
        let text = || String::from_utf8_lossy(answer).into_owned();
        let answer: Value = serde_json::from_slice(answer).with_context(text)?;
        let response = answer.get("response").with_context(text)?;
        let is_allowed = response.get("allowed") == Some(&json!(true));
        let message = response.pointer("/status/message").and_then(Value::as_str);
        let is_right = match self.expected {
            Expected::Allowed => is_allowed && response.get("patch").is_none(),
            Expected::Filled => is_allowed && response.get("patch").is_some(),
            Expected::Refused(why) => {
                !is_allowed && message.is_some_and(|message| message.contains(why))
            }
        };
        ensure!(is_right, "expected {:?}, got {}", self.expected, text());
        Ok(())
    }
}
