//! Requests that no API server sends, and those that come too early or are too large.

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;

fn valid() -> Value {
    let new = egress(
        "new",
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod"}"#,
    );
    review("CREATE", &new, &Value::Null)
}

#[tokio::test]
async fn nothing_is_answered_before_everything_is_known() {
    let cluster = Cluster::small();
    let nodes = cluster.readiness.wait_for("the list of nodes");
    let told = cluster.ask("/validate", &valid()).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        told.body.as_str().unwrap().contains("the list of nodes"),
        "{told:?}"
    );
    nodes.done();
    assert!(cluster.ask("/validate", &valid()).await.is_allowed());
}

#[tokio::test]
async fn other_paths_and_methods_do_not_exist() {
    let cluster = Cluster::small();
    for path in [
        "/",
        "/validate/",
        "/validate/egress",
        "/Validate",
        "/metrics",
    ] {
        let told = cluster.ask(path, &valid()).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
    }
    let get = HttpRequest::get("/validate").body(Body::empty()).unwrap();
    assert_eq!(
        cluster.send(get).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test]
async fn only_json_is_read() {
    let cluster = Cluster::small();
    let send = async |kind: Option<&str>| {
        let request = HttpRequest::post("/validate");
        let request = match kind {
            Some(kind) => request.header("Content-Type", kind),
            None => request,
        };
        let body = Body::from(valid().to_string());
        cluster.send(request.body(body).unwrap()).await.status
    };
    for kind in [
        None,
        Some("text/plain"),
        Some("application/jsonx"),
        Some(""),
    ] {
        assert_eq!(
            send(kind).await,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{kind:?}"
        );
    }
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
    ] {
        assert_eq!(send(Some(kind)).await, StatusCode::OK, "{kind}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let cluster = Cluster::small();
    let mut large = valid();
    large["request"]["object"]["metadata"]["annotations"] = json!({"a": "x".repeat(body::MOST)});
    let told = cluster.ask("/validate", &large).await;
    assert_eq!(told.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let cluster = Cluster::small();
    let endless = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    let told = cluster
        .send(posted("/validate", Body::from_stream(endless)))
        .await;
    assert_eq!(told.status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn what_is_no_question_is_a_bad_request() {
    let cluster = Cluster::small();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        "",
        "{",
        "null",
        "[]",
        "\u{0}",
        r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}"#,
        r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x", "allowed": true}}"#,
        deep.as_str(),
    ] {
        let told = cluster.send(posted("/validate", body.to_owned())).await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{body:.40}");
    }
    for (pointer, value) in [
        ("/apiVersion", json!("admission.k8s.io/v1beta1")),
        ("/kind", json!("AdmissionResponse")),
        ("/request/uid", json!("")),
        ("/request/uid", json!(7)),
        ("/request/kind", json!("Egress")),
        ("/request/operation", Value::Null),
    ] {
        let told = cluster
            .ask("/validate", &with(&valid(), pointer, value))
            .await;
        assert_eq!(told.status, StatusCode::BAD_REQUEST, "{pointer} {told:?}");
    }
}

/// Answers and logs have the same texts.
#[tokio::test]
async fn of_what_is_sent_little_is_repeated() {
    let (cluster, long) = (Cluster::small(), json!("x".repeat(100_000)));
    for pointer in [
        "/apiVersion",
        "/kind",
        "/request/uid",
        "/request/userInfo",
        "/request/kind",
        "/request/kind/kind",
        "/request/kind/version",
        "/request/name",
        "/request/operation",
        "/request/subResource",
        "/request/object/kind",
        "/request/object/spec",
        "/request/object/spec/appliedTo",
    ] {
        let mut asked = with(&valid(), pointer, long.clone());
        // A refusal, whatever else is wrong.
        if let Some(spec) = asked.pointer_mut("/request/object/spec/externalIPPool") {
            *spec = json!("prd");
        }
        let told = cluster.ask("/validate", &asked).await;
        let length = told.body.to_string().len();
        assert!(!told.is_allowed() && length < 1_000, "{pointer} {length}");
    }
}

async fn assert_unexpected(pointer: &str, value: Value, words: &str) {
    let cluster = Cluster::small();
    for path in ["/validate", "/mutate"] {
        let told = cluster
            .ask(path, &with(&valid(), pointer, value.clone()))
            .await;
        assert_eq!(
            (told.status, told.code()),
            (StatusCode::OK, 400),
            "{pointer} {told:?}"
        );
        assert!(told.message().starts_with(words), "{words} {told:?}");
        assert_eq!(told.response()["uid"], "u-1");
    }
}

#[tokio::test]
async fn a_question_about_other_kinds_is_refused_with_its_uid() {
    for (pointer, value, words) in [
        (
            "kind",
            "Pod",
            "asked about Pod of crd.antrea.io/v1beta1, but only Egress",
        ),
        ("kind", "egress", "asked about egress"),
        (
            "group",
            "egret.dev",
            "asked about Egress of egret.dev/v1beta1",
        ),
        ("version", "v1", "asked about Egress of crd.antrea.io/v1"),
        (
            "version",
            "v1alpha2",
            "the object is \"Egress\" of \"crd.antrea.io/v1beta1\"",
        ),
    ] {
        assert_unexpected(&format!("/request/kind/{pointer}"), json!(value), words).await;
    }
}

#[tokio::test]
async fn a_question_about_other_operations_is_refused_with_its_uid() {
    for (pointer, value, words) in [
        ("operation", "CONNECT", "asked about operation \"CONNECT\""),
        ("operation", "create", "asked about operation \"create\""),
        (
            "operation",
            "UPDATE",
            "asked about the old object without it",
        ),
        ("subResource", "scale", "asked about subresource \"scale\""),
        (
            "subResource",
            "status",
            "asked about subresource \"status\"",
        ),
    ] {
        assert_unexpected(&format!("/request/{pointer}"), json!(value), words).await;
    }
}

#[tokio::test]
async fn a_question_without_its_object_is_refused_with_its_uid() {
    for (pointer, value, words) in [
        (
            "object",
            Value::Null,
            "asked about the new object without it",
        ),
        ("object", json!([]), "asked about the new object without it"),
        (
            "object/kind",
            json!("ExternalIPPool"),
            "the object is \"ExternalIPPool\"",
        ),
        (
            "object/apiVersion",
            Value::Null,
            "the object is \"Egress\" of \"\"",
        ),
    ] {
        assert_unexpected(&format!("/request/{pointer}"), value, words).await;
    }
}

#[tokio::test]
async fn fields_that_a_later_version_may_add_are_no_obstacle() {
    let cluster = Cluster::small();
    let told = cluster
        .ask(
            "/validate",
            &with(&valid(), "/request/later", json!({"a": [1]})),
        )
        .await;
    assert!(told.is_allowed(), "{told:?}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = vec!["prod", "CREATE", "UPDATE", "Egress", "10.10.0.3", ""];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// The pointers to everything in a value.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let step = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.push(step(key));
                places(value, &step(key), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                found.push(step(&index.to_string()));
                places(value, &step(&index.to_string()), found);
            }
        }
        _ => {}
    }
}

fn reviews() -> Vec<Value> {
    let old = egress(
        "web",
        r#"{"appliedTo": {"podSelector": {"matchLabels": {"app": "web"}}}, "externalIPPool": "prod",
            "egressIP": "10.10.0.3", "bandwidth": {"rate": "1M", "burst": "1M"}, "exceptCIDRs": ["10.0.0.0/8"]}"#,
    );
    let range = pool(
        "edge",
        r#"{"ipRanges": [{"cidr": "10.20.0.0/30"}], "exclude": ["10.20.0.1"], "nodeSelector": {"matchLabels": {}},
            "subnetInfo": {"gateway": "10.20.0.2", "prefixLength": 24}}"#,
    );
    vec![
        review("CREATE", &old, &Value::Null),
        review("UPDATE", &with(&old, "/spec/priority", json!(1)), &old),
        review("CREATE", &range, &Value::Null),
        review("UPDATE", &with(&range, "/spec/exclude", json!([])), &range),
    ]
}

/// Whether a review asks what may be asked.
fn is_a_question(review: &Value) -> bool {
    let text = |pointer: &str| {
        let value = review.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    };
    let version = text("/request/kind/version");
    let is_there = |field: &str| {
        let object = &review["request"][field];
        object["kind"] == review["request"]["kind"]["kind"]
            && object["apiVersion"] == json!(format!("crd.antrea.io/{version}"))
    };
    text("/apiVersion") == "admission.k8s.io/v1"
        && text("/kind") == "AdmissionReview"
        && !text("/request/uid").is_empty()
        && text("/request/kind/group") == "crd.antrea.io"
        && ["v1beta1", "v1alpha2"].contains(&version)
        && ["Egress", "ExternalIPPool"].contains(&text("/request/kind/kind"))
        && match text("/request/operation") {
            "CREATE" => is_there("object"),
            "UPDATE" => is_there("object") && is_there("oldObject"),
            "DELETE" => true,
            _ => false,
        }
}

/// Whether a new object was let in that is wrong by itself.
fn is_wrong(review: &Value) -> bool {
    let object = &review["request"]["object"];
    let is_new = review["request"]["operation"] == "CREATE";
    let is_leaving = object.pointer("/metadata/deletionTimestamp").is_some();
    is_new && !is_leaving && !crate::cache::tests::problems(object).is_empty()
}

fn any_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["/validate", "/mutate"])
}

fn send(request: HttpRequest<Body>) -> Told {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async { Cluster::small().send(request).await })
}

fn ask(path: &str, review: &Value) -> Told {
    send(posted(path, review.to_string()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_bytes_come_nothing_panics_or_is_allowed(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let told = send(posted("/validate", body));
        prop_assert!(told.status.is_client_error(), "{:?}", told);
    }

    #[test]
    fn whatever_json_comes_nothing_panics_or_is_allowed(request in any_json(), path in any_path()) {
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        prop_assert!(!ask(path, &review).is_allowed());
    }

    #[test]
    fn a_question_with_one_thing_changed_is_answered_or_refused_but_never_allowed_unread(
        which in 0..4_usize, place: prop::sample::Index, value in any_json(), path in any_path(),
    ) {
        let mut review = reviews().swap_remove(which);
        let mut pointers = Vec::new();
        places(&review, "", &mut pointers);
        let pointer: &String = place.get(&pointers);
        *review.pointer_mut(pointer).unwrap() = value;
        let told = ask(path, &review);
        prop_assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&told.status), "{:?}", told);
        prop_assert!(!told.is_allowed() || is_a_question(&review), "{review} {told:?}");
        let is_final = told.is_allowed() && path == "/validate";
        prop_assert!(!is_final || !is_wrong(&review), "{review}");
    }
}
