//! Whose the objects are that an agent makes: its Node's, so that they go with it.
//!
//! Owns the reference. Never deletes anything: the garbage collector does.

use egret_domain::name::NodeName;
use egret_runtime::apply::{Error, within_limit};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};

/// The `ownerReferences` of such an object. Without a Node, which is then about to come or has just gone, it is nobody's.
pub(crate) async fn of_what_this_node_makes(
    client: &Client,
    me: &NodeName,
) -> Result<Value, Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let this = ListParams::default().fields(&format!("metadata.name={me}"));
    let found = within_limit(nodes.list_metadata(&this)).await?;
    let uids = found.items.into_iter().filter_map(|node| node.metadata.uid);
    let owner = |uid| json!({"apiVersion": "v1", "kind": "Node", "name": me.as_str(), "uid": uid});
    Ok(uids.map(owner).collect())
}
