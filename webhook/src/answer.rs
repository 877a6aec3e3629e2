//! The answer.
//!
//! Owns its form, and how much is said in it. The problems stand in it twice: as one text, and one by one, from which
//! `kubectl` makes a list. Never decides.

use egret_domain::problem::{PROBLEMS_SHOWN, Problem, Problems};
use json_patch::Patch;
use serde_json::{Value, json};

use crate::excerpt::excerpt;
use crate::review::{API_VERSION, REVIEW, Request, Unexpected};

/// Longer warnings are cut by the API server, in bytes.
const WARNING_MAX: usize = 256;
/// Of why something cannot be judged, more bytes are not told: they may be somebody's object.
const WHY_MAX: usize = 200;
/// Of the warnings of one answer, more than this many are only counted.
const WARNINGS_SHOWN: usize = 10;

/// What is said to a question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// Whether it may be.
    pub verdict: Verdict,
    /// What to tell in any case.
    pub warnings: Vec<Problem>,
}

/// Whether a change may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may, with these defaults.
    Allowed(Patch),
    /// Its object is wrong.
    Invalid(Problems),
    /// It cannot be judged; why, in a few words.
    Unreadable(String),
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Allowed(Patch::default())
    }
}

impl From<Unexpected> for Answer {
    fn from(unexpected: Unexpected) -> Self {
        Self::unreadable(unexpected.to_string())
    }
}

impl Answer {
    /// That the change cannot be judged. Of a long reason the beginning is kept.
    pub fn unreadable(why: String) -> Self {
        Self {
            verdict: Verdict::Unreadable(excerpt(why, WHY_MAX)),
            warnings: Vec::new(),
        }
    }

    /// One word for metrics and logs.
    pub fn result(&self) -> &'static str {
        match self.verdict {
            Verdict::Allowed(_) => "allowed",
            Verdict::Invalid(_) => "invalid",
            Verdict::Unreadable(_) => "unreadable",
        }
    }

    /// The body of the answer to this request.
    pub fn encode(&self, request: &Request) -> Value {
        let mut response = match &self.verdict {
            Verdict::Allowed(patch) => allowed(patch),
            Verdict::Invalid(problems) => invalid(problems, request),
            Verdict::Unreadable(why) => denied(&json!({
                "status": "Failure", "code": 400, "reason": "BadRequest", "message": why,
            })),
        };
        if let Some(response) = response.as_object_mut() {
            response.insert("uid".to_owned(), json!(request.uid));
            let warnings = warnings(&self.warnings);
            if !warnings.is_empty() {
                response.insert("warnings".to_owned(), json!(warnings));
            }
        }
        json!({"apiVersion": API_VERSION, "kind": REVIEW, "response": response})
    }
}

fn allowed(patch: &Patch) -> Value {
    if patch.0.is_empty() {
        return json!({"allowed": true});
    }
    let text = json!(patch).to_string();
    json!({"allowed": true, "patchType": "JSONPatch", "patch": base64(text.as_bytes())})
}

fn denied(status: &Value) -> Value {
    json!({"allowed": false, "status": status})
}

fn invalid(problems: &Problems, Request { kind, name, .. }: &Request) -> Value {
    let all = problems.as_slice();
    let shown = all.iter().take(PROBLEMS_SHOWN);
    let mut causes: Vec<_> = shown
        .map(|problem| cause(&problem.path, &problem.sentence()))
        .collect();
    let more = all.len().saturating_sub(PROBLEMS_SHOWN);
    if more > 0 {
        causes.push(cause(&format!("and {more} more"), "correct these first"));
    }
    denied(&json!({
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": problems.to_string(),
        "details": {"group": kind.group, "kind": kind.kind, "name": name, "causes": causes},
    }))
}

fn cause(field: &str, message: &str) -> Value {
    json!({"reason": "FieldValueInvalid", "field": field, "message": message})
}

fn warnings(all: &[Problem]) -> Vec<String> {
    let mut texts: Vec<_> = all
        .iter()
        .take(WARNINGS_SHOWN)
        .map(|warning| excerpt(warning.to_string(), WARNING_MAX))
        .collect();
    let more = all.len().saturating_sub(WARNINGS_SHOWN);
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts
}

/// As the API has bytes in JSON.
fn base64(bytes: &[u8]) -> Value {
    json!(k8s_openapi::ByteString(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        serde_json::from_value(json!({
            "uid": "u-1", "name": "web", "operation": "CREATE",
            "kind": {"group": "crd.antrea.io", "version": "v1beta1", "kind": "Egress"},
        }))
        .unwrap()
    }

    fn problems(count: usize) -> Vec<Problem> {
        (0..count)
            .map(|n| Problem::of(&format!("spec.f[{n}]"), "x", "is wrong"))
            .collect()
    }

    fn response(answer: &Answer) -> Value {
        let body = answer.encode(&request());
        assert_eq!(body["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(body["response"]["uid"], "u-1");
        body["response"].clone()
    }

    #[test]
    fn a_refusal_is_one_text_and_a_list_of_at_most_ten_and_a_count() {
        let verdict = Verdict::Invalid(Problems::new(problems(12)).unwrap());
        let status = response(&Answer {
            verdict,
            warnings: Vec::new(),
        })["status"]
            .clone();
        assert_eq!(status["code"], 422);
        let message = status["message"].as_str().unwrap();
        assert!(
            message.starts_with("spec.f[0]: \"x\" is wrong; spec.f[1]"),
            "{message}"
        );
        assert!(
            message.ends_with("spec.f[9]: \"x\" is wrong; and 2 more"),
            "{message}"
        );
        let causes = status["details"]["causes"].as_array().unwrap();
        assert_eq!(causes.len(), 11);
        assert_eq!(causes[9]["field"], "spec.f[9]");
        assert_eq!(causes[10]["field"], "and 2 more");
    }

    #[test]
    fn warnings_are_as_short_as_the_api_server_wants_them_and_not_too_many() {
        let mut warnings = problems(11);
        warnings[0].reason = "é".repeat(300);
        let told = response(&Answer {
            warnings,
            ..Answer::default()
        })["warnings"]
            .clone();
        let told: Vec<String> = serde_json::from_value(told).unwrap();
        assert_eq!(told.len(), 11);
        assert!(
            told[0].len() <= 256 && told[0].ends_with("é..."),
            "{told:?}"
        );
        assert_eq!(told[10], "and 1 more");
    }

    #[test]
    fn what_is_allowed_without_defaults_has_no_patch() {
        assert_eq!(
            response(&Answer::default()),
            json!({"uid": "u-1", "allowed": true})
        );
    }

    #[test]
    fn defaults_are_a_patch_in_base64() {
        let patch: Patch =
            serde_json::from_value(json!([{"op": "add", "path": "/a", "value": 1}])).unwrap();
        let verdict = Verdict::Allowed(patch.clone());
        let told = response(&Answer {
            verdict,
            warnings: Vec::new(),
        });
        assert_eq!(told["patchType"], "JSONPatch");
        let bytes: k8s_openapi::ByteString = serde_json::from_value(told["patch"].clone()).unwrap();
        assert_eq!(serde_json::from_slice::<Patch>(&bytes.0).unwrap(), patch);
    }
}
