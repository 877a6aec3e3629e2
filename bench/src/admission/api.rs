//! An API server that has the objects of a [`World`].
//!
//! Owns lists in pages, single objects, and watches in which nothing ever happens: all that the webhook asks for. It
//! answers without a network between, so what it costs is the making and reading of JSON. Never keeps an object.

use std::convert::Infallible;

use axum::http::{Request, Response, StatusCode, Uri};
use kube::Client;
use kube::client::Body;
use serde::Serialize;
use serde_json::{Value, json};
use tower::service_fn;

use super::world::{self, World};

/// Objects in one page unless the client says otherwise.
const PAGE: usize = 500;

/// A client of the API server of this world.
pub fn client(world: World) -> Client {
    let service = service_fn(move |request: Request<Body>| async move {
        Ok::<_, Infallible>(answer(world, request.uri()).await)
    });
    Client::new(service, "default")
}

async fn answer(world: World, uri: &Uri) -> Response<Body> {
    if parameter(uri, "watch") == Some("true") {
        return std::future::pending().await;
    }
    let mut parts = uri.path().rsplit('/');
    let (last, before) = (parts.next(), parts.next());
    let found = match (last.and_then(Collection::called), before) {
        (Some(collection), _) => Some(list(world, collection, uri)),
        (None, before) => one(world, before, last),
    };
    let missing =
        || json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
    let status = match found {
        Some(_) => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    };
    let text = found.unwrap_or_else(missing).to_string();
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = status;
    response
}

/// The object of this name.
fn one(world: World, collection: Option<&str>, name: Option<&str>) -> Option<Value> {
    let collection = Collection::called(collection?)?;
    let (_, number) = name?.rsplit_once('-')?;
    let found = collection.object(world, number.parse().ok()?)?;
    (found.pointer("/metadata/name")?.as_str() == name).then_some(found)
}

/// A page of all objects, from where the last one ended.
fn list(world: World, collection: Collection, uri: &Uri) -> Value {
    let number = |name| parameter(uri, name).and_then(|text| text.parse::<usize>().ok());
    let first = number("continue").unwrap_or_default();
    let end = first + number("limit").unwrap_or(PAGE);
    let items: Vec<_> = (first..end)
        .map_while(|number| collection.object(world, number))
        .collect();
    let more = collection.object(world, end).map(|_| end.to_string());
    json!({"metadata": {"resourceVersion": "1", "continue": more}, "items": items})
}

fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri
        .query()?
        .split('&')
        .filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collection {
    Egresses,
    Pools,
    Nodes,
    Reports,
}

impl Collection {
    fn called(path: &str) -> Option<Self> {
        match path {
            "egresses" => Some(Self::Egresses),
            "externalippools" => Some(Self::Pools),
            "nodes" => Some(Self::Nodes),
            "egressnodes" => Some(Self::Reports),
            _ => None,
        }
    }

    fn object(self, world: World, number: usize) -> Option<Value> {
        match self {
            Self::Egresses => json_of(world.egress(number)?),
            Self::Pools => json_of(world.pool(number)?),
            Self::Nodes => world::node(number),
            Self::Reports => world::report(number),
        }
    }
}

fn json_of(object: impl Serialize) -> Option<Value> {
    serde_json::to_value(object).ok()
}

#[cfg(test)]
mod tests {
    use egret_crds::Egress;
    use kube::Api;
    use kube::api::ListParams;

    use super::*;

    #[tokio::test]
    async fn all_objects_come_in_pages_and_none_twice() {
        let world = World {
            egresses: 25,
            pools: 2,
        };
        let api: Api<Egress> = Api::all(client(world));
        let mut page = api.list(&ListParams::default().limit(10)).await.unwrap();
        let mut names = Vec::new();
        loop {
            names.extend(page.items.into_iter().filter_map(|item| item.metadata.name));
            let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
                break;
            };
            let next = ListParams::default().limit(10).continue_token(&token);
            page = api.list(&next).await.unwrap();
        }
        let all: Vec<_> = (0..25)
            .map(|number| format!("egress-{number:05}"))
            .collect();
        assert_eq!(names, all);
    }

    #[tokio::test]
    async fn a_single_object_is_found_by_its_whole_name() {
        let api: Api<Egress> = Api::all(client(World::SMALL));
        assert_eq!(
            api.get("egress-00007").await.unwrap(),
            World::SMALL.egress(7).unwrap()
        );
        assert_eq!(api.get_opt("egress-7").await.unwrap(), None);
        assert_eq!(api.get_opt("egress-00010").await.unwrap(), None);
    }
}
