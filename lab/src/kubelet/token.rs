//! Tokens of service accounts, bound to their Pod, as a kubelet gets them.
//!
//! Owns the request and when a token is to be renewed.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{
    BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus,
};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::Instant;

use super::volume::Wish;

/// A token and when another is to be got.
#[derive(Debug, Clone)]
pub(super) struct Issued {
    /// The token.
    pub(super) token: String,
    /// When another is to be got.
    pub(super) renew_at: Instant,
}

/// Gets a token for a Pod's service account that is worthless without the Pod.
pub(super) async fn issue(
    client: &Client,
    pod: &Pod,
    wish: &Wish,
) -> Result<Option<Issued>, kube::Error> {
    let namespace = pod.namespace().unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace);
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.as_deref());
    let request = TokenRequest {
        metadata: ObjectMeta::default(),
        spec: TokenRequestSpec {
            audiences: wish.audience.iter().cloned().collect(),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            expiration_seconds: Some(wish.life_s),
        },
        status: None,
    };
    let account = account.unwrap_or("default");
    let params = PostParams::default();
    let answer = accounts
        .create_token_request(account, &params, &request)
        .await?;
    Ok(answer.status.map(issued))
}

fn issued(status: TokenRequestStatus) -> Issued {
    let life = status
        .expiration_timestamp
        .0
        .duration_since(Timestamp::now());
    let life = Duration::try_from(life).unwrap_or_default();
    Issued {
        token: status.token,
        renew_at: Instant::now() + renew_after(life),
    }
}

/// Kubelets renew when four fifths of a token's life are over; sooner leaves time for retries.
fn renew_after(life: Duration) -> Duration {
    life * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_before_four_fifths_of_its_life_are_over() {
        for life_s in [600, 3607, 86_400] {
            let life = Duration::from_secs(life_s);
            assert!(renew_after(life) < life * 4 / 5);
            assert!(renew_after(life) > life / 2);
        }
    }
}
