//! What is refused, and what the user is told.

use super::*;

const FREE: &str = "write a free one (10.10.0.2, 10.10.0.4, 10.10.0.6-10.10.0.10), or leave the field out to get one";

async fn assert_refused(cluster: &Cluster, object: &Value, problems: &[&str]) {
    let told = cluster.create(object).await;
    assert_eq!(
        (told.status, told.code()),
        (StatusCode::OK, 422),
        "{object} {told:?}"
    );
    assert_eq!(told.message(), problems.join("; "));
    assert!(!told.is_allowed());
}

/// An Egress that selects all Pods.
fn selecting(fields: &str) -> Value {
    egress(
        "new",
        &format!(r#"{{"appliedTo": {{"podSelector": {{}}}}, {fields}}}"#),
    )
}

/// The fields of the causes by which kubectl tells the problems one by one.
fn fields(told: &Told) -> Vec<String> {
    let causes = told.response()["status"]["details"]["causes"]
        .as_array()
        .unwrap();
    let field = |cause: &Value| cause["field"].as_str().unwrap().to_owned();
    causes.iter().map(field).collect()
}

#[tokio::test]
async fn an_address_that_is_none_is_told_how_to_be_written() {
    let cluster = Cluster::small();
    let routed = "which cannot be used here: write an address that is routed outside the node";
    for (ip, reason) in [
        (
            "ten",
            "is not an IP address: write it like 10.10.0.8 or fd00::8".to_owned(),
        ),
        (
            "10.010.0.8",
            "has a number with a leading zero, which some read as octal: write 10.10.0.8"
                .to_owned(),
        ),
        (
            "fe80::1%eth0",
            "has a zone: write the address alone, without '%' and what follows".to_owned(),
        ),
        (
            "::ffff:10.0.0.1",
            "is an IPv4 address written as IPv6: write 10.0.0.1".to_owned(),
        ),
        ("127.0.0.1", format!("is a loopback address, {routed}")),
        ("224.0.0.1", format!("is a multicast address, {routed}")),
        ("0.0.0.0", format!("is the unspecified address, {routed}")),
        ("169.254.0.1", format!("is a link-local address, {routed}")),
        (
            "fd00::8",
            "is an IPv6 address, and no node has one: write an IPv4 address".to_owned(),
        ),
    ] {
        let object = selecting(&format!(r#""egressIP": "{ip}""#));
        assert_refused(
            &cluster,
            &object,
            &[&format!("spec.egressIP: {ip:?} {reason}")],
        )
        .await;
    }
}

#[tokio::test]
async fn an_address_that_the_pool_does_not_give_is_told_those_that_are_free() {
    let cluster = Cluster::small();
    for (ip, reason) in [
        ("10.10.0.11", "is in no range of pool prod"),
        (
            "10.10.0.5",
            "is excluded from pool prod by 10.10.0.5 in spec.exclude",
        ),
        (
            "10.10.1.15",
            "is the broadcast address of 10.10.1.0/28, which is never handed out",
        ),
        ("10.10.0.3", "is in use by Egress web"),
    ] {
        let object = selecting(&format!(r#""externalIPPool": "prod", "egressIP": "{ip}""#));
        assert_refused(
            &cluster,
            &object,
            &[&format!("spec.egressIP: {ip:?} {reason}: {FREE}")],
        )
        .await;
    }
}

#[tokio::test]
async fn other_fields_of_an_egress_are_told_with_value_and_remedy() {
    let cluster = Cluster::small();
    for (fields, problem) in [
        (
            r#""externalIPPool": "prd""#,
            "spec.externalIPPool: \"prd\" does not exist: did you mean \"prod\"?",
        ),
        (
            r#""externalIPPools": ["prod"]"#,
            "spec.externalIPPools: is not supported: remove it and set externalIPPool, in one Egress per address",
        ),
        (
            r#""externalIPPool": "prod", "bandwidth": {"rate": "200G"}"#,
            "spec.bandwidth.rate: \"200G\" is out of range: write a rate from 8k to 100G, in bits per second",
        ),
    ] {
        assert_refused(&cluster, &selecting(fields), &[problem]).await;
    }
}

#[tokio::test]
async fn a_selector_that_the_api_would_refuse_is_refused() {
    let cluster = Cluster::small();
    let object = egress(
        "new",
        r#"{"externalIPPool": "prod", "appliedTo": {"podSelector": {"matchExpressions": [
            {"key": "app", "operator": "In"}, {"key": "-", "operator": "Exists"}]}}}"#,
    );
    let told = cluster.create(&object).await;
    let selector = "spec.appliedTo.podSelector.matchExpressions";
    assert_eq!(
        fields(&told),
        [
            format!("{selector}[0].values"),
            format!("{selector}[1].key")
        ]
    );
    assert!(
        told.message()
            .contains("operator In needs at least one value"),
        "{told:?}"
    );
}

#[tokio::test]
async fn one_problem_of_a_pool_is_told_with_field_value_and_remedy() {
    let cluster = Cluster::small();
    for (spec, problem) in [
        (
            r#"{"ipRanges": [{"cidr": "10.30.0.0"}]}"#,
            "spec.ipRanges[0].cidr: \"10.30.0.0\" has no prefix length: write 10.30.0.0/32 for this address alone, or \
             ADDRESS/PREFIX such as 10.10.1.0/28",
        ),
        (
            r#"{"ipRanges": [{"start": "10.30.0.9", "end": "10.30.0.1"}]}"#,
            "spec.ipRanges[0]: \"10.30.0.9-10.30.0.1\" ends before it begins: exchange first and last address",
        ),
        (
            r#"{"ipRanges": [{"start": "10.30.0.9", "end": "fd00::1"}]}"#,
            "spec.ipRanges[0]: \"10.30.0.9-fd00::1\" mixes IPv4 and IPv6: take both ends from one of them",
        ),
        (
            r#"{"ipRanges": [{"cidr": "10.30.0.0/24"}, {"start": "10.30.0.9", "end": "10.30.0.10"}]}"#,
            "spec.ipRanges[1]: \"10.30.0.9-10.30.0.10\" overlaps spec.ipRanges[0] (10.30.0.0-10.30.0.255): list each \
             address once",
        ),
        (
            r#"{"ipRanges": [{"cidr": "10.20.0.0/24"}]}"#,
            "spec.ipRanges[0]: \"10.20.0.0/24\" overlaps ExternalIPPool edge, which has 10.20.0.0-10.20.0.3 too: take \
             addresses that no other pool has",
        ),
        (
            r#"{"ipRanges": [{"cidr": "10.30.0.0/24"}], "subnetInfo": {"gateway": "10.30.1.1", "prefixLength": 24}}"#,
            "spec.ipRanges[0]: \"10.30.0.0/24\" is not inside 10.30.1.0/24, the subnet that spec.subnetInfo \
             gives: correct one of them",
        ),
        (
            r#"{"ipRanges": [], "subnetInfo": {"gateway": "10.30.1.1", "prefixLength": 32}}"#,
            "spec.subnetInfo.prefixLength: \"32\" must be from 1 to 31 for this gateway",
        ),
    ] {
        assert_refused(&cluster, &pool("new", spec), &[problem]).await;
    }
}

#[tokio::test]
async fn addresses_in_use_are_not_taken_away_from_a_pool() {
    let cluster = Cluster::small();
    let ranges =
        r#""ipRanges": [{"start": "10.10.0.2", "end": "10.10.0.10"}, {"cidr": "10.10.1.0/28"}]"#;
    let old = pool(
        "prod",
        &format!("{{{ranges}, \"exclude\": [\"10.10.0.5\"]}}"),
    );
    let keep = "in use: 10.10.0.3 (Egress web); keep them until these Egresses are deleted or have other addresses";
    for (spec, problem) in [
        (
            r#"{"ipRanges": [{"cidr": "10.10.1.0/28"}]}"#.to_owned(),
            format!("spec.ipRanges: would lose addresses {keep}"),
        ),
        (
            r#"{"ipRanges": [{"start": "10.10.0.4", "end": "10.10.0.10"}]}"#.to_owned(),
            format!("spec.ipRanges: would lose addresses {keep}"),
        ),
        (
            format!("{{{ranges}, \"exclude\": [\"10.10.0.0/29\"]}}"),
            format!("spec.exclude: \"10.10.0.0-10.10.0.7\" takes away addresses {keep}"),
        ),
    ] {
        let told = cluster.update(&old, &pool("prod", &spec)).await;
        assert_eq!((told.code(), told.message()), (422, problem));
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_and_one_by_one() {
    let cluster = Cluster::small();
    let object = egress(
        "new",
        r#"{"appliedTo": {"podSelector": {"matchLabels": {"a b": "c"}}}, "egressIP": "fd00::8", "externalIPPool": "prd",
            "bandwidth": {"rate": "fast", "burst": "x"}, "exceptCIDRs": ["10.0.0.1"]}"#,
    );
    let told = cluster.create(&object).await;
    assert_eq!(
        fields(&told),
        [
            "spec.appliedTo.podSelector.matchLabels",
            "spec.bandwidth.rate",
            "spec.bandwidth.burst",
            "spec.exceptCIDRs[0]",
            "spec.externalIPPool",
            "spec.egressIP",
        ]
    );
    assert_eq!(told.message().matches("; spec.").count(), 5);
    assert_eq!(told.response()["status"]["details"]["name"], "new");
    let object = pool(
        "new",
        r#"{"ipRanges": [{"cidr": "x"}, {"cidr": "10.20.0.0/30"}, {"cidr": "10.60.0.0/30"}, {"cidr": "10.60.0.0/30"}],
            "exclude": ["y"], "subnetInfo": {"gateway": "z", "prefixLength": 24},
            "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}"#,
    );
    assert_eq!(
        fields(&cluster.create(&object).await),
        [
            "spec.nodeSelector.matchExpressions[0].values",
            "spec.ipRanges[0].cidr",
            "spec.subnetInfo.gateway",
            "spec.ipRanges[3]",
            "spec.exclude[0]",
            "spec.ipRanges[1]",
        ]
    );
}

#[tokio::test]
async fn an_egress_that_gets_no_address_is_refused_before_the_schema_hides_the_rest() {
    let cluster = Cluster::small();
    let new = selecting(r#""bandwidth": {"rate": "fast"}"#);
    let told = cluster
        .ask("/mutate", &review("CREATE", &new, &Value::Null))
        .await;
    assert_eq!(fields(&told), ["spec", "spec.bandwidth.rate"]);
    for name in ["a", "b"] {
        let mut marked = pool(name, r#"{"ipRanges": []}"#);
        marked["metadata"]["annotations"] = json!({"egret.dev/is-default-pool": "true"});
        cluster.store(marked);
    }
    let new = selecting(r#""priority": 0"#);
    let told = cluster
        .ask("/mutate", &review("CREATE", &new, &Value::Null))
        .await;
    let words = "spec.externalIPPool: is missing, and several pools are marked as default (a, b): name one of them";
    assert!(told.message().ends_with(words), "{told:?}");
}

/// As `kubectl edit` leaves it when the line of the pool is deleted: old and new object.
fn without_its_pool() -> (Value, Value) {
    let mut old = egress(
        "web",
        r#"{"appliedTo": {"podSelector": {}}, "externalIPPool": "prod", "egressIP": "10.10.0.3"}"#,
    );
    old["metadata"]["managedFields"] = json!([{
        "manager": "egret-operator", "operation": "Apply", "fieldsV1": {"f:spec": {"f:egressIP": {}}},
    }]);
    let mut new = old.clone();
    new["spec"]
        .as_object_mut()
        .unwrap()
        .remove("externalIPPool");
    (old, new)
}

#[tokio::test]
async fn who_removes_the_pool_alone_is_told_how_to_keep_the_address() {
    let cluster = Cluster::small();
    let (old, new) = without_its_pool();
    let gone = "spec.egressIP: \"10.10.0.3\" was allocated from pool prod and goes with it: to keep it without a pool, \
                apply it with kubectl apply --server-side";
    let told = cluster.ask("/mutate", &review("UPDATE", &new, &old)).await;
    assert!(
        !told.is_allowed() && told.message().ends_with(gone),
        "{told:?}"
    );
    let mut main = pool("main", r#"{"ipRanges": [{"cidr": "10.40.0.0/24"}]}"#);
    main["metadata"]["annotations"] = json!({"egret.dev/is-default-pool": "true"});
    cluster.store(main);
    let told = cluster.ask("/mutate", &review("UPDATE", &new, &old)).await;
    let filled = "spec.externalIPPool: \"main\" is filled in, since it is the default pool and neither this nor \
                  spec.egressIP is given";
    assert!(told.is_allowed(), "{told:?}");
    assert_eq!(told.warnings(), [gone, filled]);
}

#[tokio::test]
async fn an_object_of_another_shape_is_refused() {
    let cluster = Cluster::small();
    for object in [
        egress("new", r#"{"appliedTo": 7}"#),
        egress("new", "null"),
        egress("new", r#"{"appliedTo": {}, "priority": 99999999999}"#),
        pool("new", r#"{"ipRanges": "all"}"#),
    ] {
        let told = cluster.create(&object).await;
        assert_eq!(told.code(), 400, "{told:?}");
        assert!(
            told.message().starts_with("the object cannot be read: "),
            "{told:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_does_not_answer_what_is_known_stands() {
    let mut cluster = Cluster::small();
    let silent = service_fn(|_: HttpRequest<KubeBody>| {
        std::future::pending::<Result<HttpResponse<KubeBody>, Infallible>>()
    });
    cluster.sources.client = Client::new(silent, "default");
    let told = cluster
        .create(&selecting(r#""externalIPPool": "prd""#))
        .await;
    assert_eq!(told.code(), 422, "{told:?}");
}
