//! The definitions of Egret's kinds, as the API server gets them.
//!
//! Owns which versions are served and stored. Never writes files (`cargo xtask generate` does).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceConversion, CustomResourceDefinition, CustomResourceDefinitionVersion,
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;

use crate::{Egress, EgressNode, ExternalIPPool};

/// The older version under which manifests may name the objects of `crd.antrea.io`.
const SERVED_ONLY: &str = "v1alpha2";

/// All definitions, in the order in which they are printed.
pub fn definitions() -> [CustomResourceDefinition; 3] {
    [
        also_served(definition(Egress::crd())),
        also_served(definition(ExternalIPPool::crd())),
        definition(EgressNode::crd()),
    ]
}

fn definition(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let versions = crd.spec.versions.iter_mut();
    for schema in versions.filter_map(|version| version.schema.as_mut()) {
        schema.open_api_v3_schema.iter_mut().for_each(adapt);
    }
    crd
}

/// Adds the older version, stored as the newer one: the schemas are the same, so nothing is converted.
fn also_served(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let older = crd
        .spec
        .versions
        .first()
        .map(|stored| CustomResourceDefinitionVersion {
            name: SERVED_ONLY.to_owned(),
            storage: false,
            ..stored.clone()
        });
    crd.spec.versions.extend(older);
    crd.spec.conversion = Some(CustomResourceConversion {
        strategy: "None".to_owned(),
        webhook: None,
    });
    crd
}

/// Takes back what is derived but not meant: `nullable` on optional fields (a stored null would be a field that rules
/// see as present), and line breaks inside the paragraphs of a description.
fn adapt(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.description = schema.description.as_deref().map(flowing);
    schema
        .properties
        .iter_mut()
        .flat_map(|fields| fields.values_mut())
        .for_each(adapt);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        adapt(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        adapt(values);
    }
}

fn flowing(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests;
