//! The folder of one volume, changed as kubelets do it: whoever reads sees all of the old files or all of the new ones.
//!
//! Owns the `..data` link and what is behind it. Decides nothing.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::sources::Entries;

/// The link that is swapped.
const DATA: &str = "..data";
/// The link that takes its place.
const NEXT: &str = "..data_tmp";

/// One volume's folder, and what is in it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    written: Option<Entries>,
    generation: u64,
}

impl Folder {
    /// A folder, made if missing.
    pub(super) fn at(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self {
            path,
            written: None,
            generation: 0,
        })
    }

    /// Makes its files these.
    pub(super) fn write(&mut self, files: &Entries) -> io::Result<()> {
        if self.written.as_ref() == Some(files) {
            return Ok(());
        }
        self.generation += 1;
        let behind = format!("..{}", self.generation);
        for (path, content) in files {
            let file = self.path.join(&behind).join(inside(path)?);
            fs::create_dir_all(file.parent().unwrap_or(&self.path))?;
            fs::write(file, content)?;
        }
        fs::create_dir_all(self.path.join(&behind))?;
        let former = fs::read_link(self.path.join(DATA)).ok();
        symlink(&behind, self.path.join(NEXT))?;
        fs::rename(self.path.join(NEXT), self.path.join(DATA))?;
        self.show(files)?;
        if let Some(former) = former {
            fs::remove_dir_all(self.path.join(former))?;
        }
        self.written = Some(files.clone());
        Ok(())
    }

    /// A link through `..data` for each file or folder at the top; those that lead nowhere go.
    fn show(&self, files: &Entries) -> io::Result<()> {
        let top = |path: &String| path.split('/').next().map(str::to_owned);
        let wanted: BTreeSet<String> = files.keys().filter_map(top).collect();
        for name in &wanted {
            let link = self.path.join(name);
            if fs::symlink_metadata(&link).is_err() {
                symlink(Path::new(DATA).join(name), link)?;
            }
        }
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
                fs::remove_file(self.path.join(name.as_ref()))?;
            }
        }
        Ok(())
    }
}

/// A path that leads out of the folder is refused.
fn inside(path: &str) -> io::Result<&Path> {
    let path = Path::new(path);
    let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if path.components().all(is_plain) {
        return Ok(path);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} is not a path inside of a volume", path.display()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Entries {
        let entry = |(path, text): &(&str, &str)| ((*path).to_owned(), text.as_bytes().to_vec());
        list.iter().map(entry).collect()
    }

    fn read(folder: &Path, path: &str) -> Option<String> {
        fs::read_to_string(folder.join(path)).ok()
    }

    #[test]
    fn files_change_together_and_what_is_no_longer_there_goes() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("volume");
        let mut folder = Folder::at(path.clone()).unwrap();
        folder.write(&files(&[("a", "1"), ("b/c", "1")])).unwrap();
        assert_eq!(read(&path, "a").as_deref(), Some("1"));
        assert_eq!(read(&path, "b/c").as_deref(), Some("1"));
        // Whoever has the old ones open keeps them.
        let held = fs::canonicalize(path.join(DATA)).unwrap();

        folder.write(&files(&[("a", "2"), ("d", "2")])).unwrap();

        assert_eq!(read(&path, "a").as_deref(), Some("2"));
        assert_eq!(read(&path, "d").as_deref(), Some("2"));
        assert!(!path.join("b").exists());
        assert_ne!(fs::canonicalize(path.join(DATA)).unwrap(), held);
        assert!(!held.exists());
    }

    #[test]
    fn a_volume_of_something_that_is_missing_is_an_empty_folder() {
        let home = tempfile::tempdir().unwrap();
        let mut folder = Folder::at(home.path().to_owned()).unwrap();
        folder.write(&Entries::new()).unwrap();
        assert!(home.path().join(DATA).is_dir());
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let mut folder = Folder::at(home.path().join("volume")).unwrap();
        for path in ["../a", "/a", "a/../../b"] {
            assert!(folder.write(&files(&[(path, "x")])).is_err(), "{path}");
        }
    }
}
