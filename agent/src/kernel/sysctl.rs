//! Kernel settings in `/proc/sys/net/ipv4/conf`.
//!
//! Owns those of Egret's own links. Reads others that are in its way, and never changes them.

use std::io;
use std::path::PathBuf;

use super::Error;

/// Where a container's runtime shows the settings, often read-only.
const SHOWN: &str = "/proc/sys/net/ipv4/conf";
/// Where the agent's `DaemonSet` mounts the same ones so that they can be written without a privileged container.
const MOUNTED: &str = "/run/egret/sysctl/ipv4/conf";

/// The file of a setting of a link, or of `all` links.
fn path(link: &str, name: &str) -> PathBuf {
    [SHOWN, link, name].iter().collect()
}

/// Writes a setting of a link, unless it is so already: /proc may be read-only where nothing has to change.
pub(super) async fn set(link: &str, name: &str, value: &str) -> Result<(), Error> {
    let path = path(link, name);
    let is = tokio::fs::read_to_string(&path).await.unwrap_or_default();
    if is.trim() == value {
        return Ok(());
    }
    let written = match tokio::fs::write(&path, value).await {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            let mounted: PathBuf = [MOUNTED, link, name].iter().collect();
            // Where nothing is mounted there, it is the first error that tells what is wrong.
            tokio::fs::write(mounted, value).await.map_err(|_| error)
        }
        written => written,
    };
    written.map_err(|source| Error::Sysctl {
        path: path.display().to_string(),
        source,
    })
}

/// Whether ARP is answered on the uplink for addresses of other links, as pooled egress IPs are.
pub(super) async fn answers_arp(uplink: &str) -> Result<(), Error> {
    // The larger of the two is in force.
    for link in ["all", uplink] {
        let path = path(link, "arp_ignore");
        match tokio::fs::read_to_string(&path).await {
            Ok(value) if value.trim() != "0" => {
                return Err(Error::ArpIgnored {
                    path: path.display().to_string(),
                    value: value.trim().to_owned(),
                });
            }
            // The link is gone: what repairs the frame says so.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Sysctl {
                    path: path.display().to_string(),
                    source: error,
                });
            }
            _ => {}
        }
    }
    Ok(())
}
