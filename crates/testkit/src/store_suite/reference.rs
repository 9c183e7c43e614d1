//! Laws of everything at once: random operations on keys that get in each other's way, compared with
//! a map of keys to contents after each step.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, ErrorKind, GetOptions, ListRequest, Metadata, Payload,
    Precondition, PutOptions, StoreExt,
};

use super::verdict::{ensure, same, same_bytes};
use super::{Area, Broken, KeyShape, Outcome, Verdict};

/// Steps of each walk: enough to put every key beside every other now and then.
const STEPS: u32 = 80;

/// Names that are prefixes, parents, markers and neighbours of one another.
const NAMES: [(KeyShape, &str); 26] = [
    (KeyShape::FileAndFolder, "a"),
    (KeyShape::Marker, "a/"),
    (KeyShape::EmptyPart, "a//"),
    (KeyShape::EmptyPart, "a//b"),
    (KeyShape::FileAndFolder, "a/b"),
    (KeyShape::Marker, "a/b/"),
    (KeyShape::Plain, "a/b/c"),
    (KeyShape::EmptyPart, "a/b//c"),
    (KeyShape::Plain, "a/c"),
    (KeyShape::Plain, "a!"),
    (KeyShape::FileAndFolder, "a-"),
    (KeyShape::FileAndFolder, "a-/x"),
    (KeyShape::Plain, "a0"),
    (KeyShape::DotPart, "a/."),
    (KeyShape::DotPart, "a/.."),
    (KeyShape::DotPart, ".."),
    (KeyShape::DotPart, "../a"),
    (KeyShape::EmptyPart, "/"),
    (KeyShape::EmptyPart, "/a"),
    (KeyShape::Plain, "d/e/f/g"),
    (KeyShape::Plain, "d/e/h"),
    (KeyShape::Marker, "d/e/f/"),
    (KeyShape::Marker, "d/"),
    (KeyShape::FileAndFolder, "d/e"),
    (KeyShape::Reserved, ".cloudmount"),
    (KeyShape::Reserved, ".cloudmount/x"),
];

/// What the store must hold: contents and labels by name.
type Model = BTreeMap<String, (Bytes, String)>;

/// Law: a store is a map from keys to contents, whatever happens in whatever order.
pub async fn random_operations_give_what_a_map_gives(area: &Area<'_>) -> Verdict {
    for seed in 1..=3 {
        random_walk(area, seed).await?;
    }
    Ok(Outcome::Held)
}

/// One walk of 80 random operations from `seed`, on an area that is empty before and after. The same
/// seed gives the same operations.
///
/// # Errors
/// [`Broken`] tells the seed and the operations up to the first difference.
pub async fn random_walk(area: &Area<'_>, seed: u64) -> Result<(), Broken> {
    let mut walk = Walk {
        area,
        names: (NAMES.into_iter())
            .filter(|(shape, _)| area.limits().holds(*shape))
            .map(|(_, name)| name)
            .filter(|name| area.capabilities().folder_markers || !name.ends_with('/'))
            .collect(),
        state: seed,
        model: Model::new(),
        told: Vec::new(),
    };
    let mut result = Ok(());
    for step in 0..STEPS {
        result = walk.step(step).await;
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = walk.end().await;
    }
    result.map_err(|broken| {
        Broken::new(format!(
            "seed {seed}: {broken}; after: {}",
            walk.told.join(", ")
        ))
    })
}

struct Walk<'a> {
    area: &'a Area<'a>,
    names: Vec<&'static str>,
    state: u64,
    model: Model,
    /// The operations so far.
    told: Vec<String>,
}

impl Walk<'_> {
    /// A number below `bound`, by the generator of Knuth's MMIX; its high bits are good enough.
    fn draw(&mut self, bound: usize) -> usize {
        self.state = (self.state)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bits = (self.state >> 33).to_le_bytes();
        let number = u32::from_le_bytes([bits[0], bits[1], bits[2], bits[3]]);
        usize::try_from(number).unwrap_or(0) % bound
    }

    fn name(&mut self) -> &'static str {
        let index = self.draw(self.names.len());
        self.names[index]
    }

    async fn step(&mut self, step: u32) -> Result<(), Broken> {
        match self.draw(8) {
            0..=2 => self.put(step).await?,
            3..=4 => self.delete().await?,
            5 => self.copy().await?,
            6 => self.upload(step).await?,
            _ => self.put_if(step).await?,
        }
        let all: Vec<String> = self.model.keys().cloned().collect();
        same("all names", &self.area.all_names().await?, &all)?;
        self.list().await?;
        let name = self.name();
        self.check(name).await
    }

    /// New content, empty now and then, and metadata that tell it from all others.
    fn content(&mut self, step: u32) -> (Bytes, String) {
        let content = match self.draw(3) {
            0 => Bytes::new(),
            _ => Bytes::from(format!("content {step}").into_bytes()),
        };
        (content, format!("label {step}"))
    }

    fn options(&self, label: &str, precondition: Precondition) -> PutOptions {
        let mut metadata = Metadata::default();
        if self.area.capabilities().user_metadata {
            metadata.user.insert("label".to_owned(), label.to_owned());
        }
        PutOptions {
            precondition,
            metadata,
        }
    }

    async fn put(&mut self, step: u32) -> Result<(), Broken> {
        let (name, (content, label)) = (self.name(), self.content(step));
        self.told
            .push(format!("put {name:?} ({} bytes)", content.len()));
        let options = self.options(&label, Precondition::None);
        self.area.put_with(name, content.clone(), options).await?;
        self.model.insert(name.to_owned(), (content, label));
        Ok(())
    }

    async fn put_if(&mut self, step: u32) -> Result<(), Broken> {
        if !self.area.capabilities().put_if_absent {
            return Ok(());
        }
        let (name, (content, label)) = (self.name(), self.content(step));
        self.told
            .push(format!("create {name:?} ({} bytes)", content.len()));
        let options = self.options(&label, Precondition::Absent);
        let (key, payload) = (self.area.key(name)?, Payload::from(content.clone()));
        let there = self.model.contains_key(name);
        match self.area.store().put(&key, payload, options).await {
            Ok(_) => {
                ensure!(!there, "created {name:?}, which is there");
                self.model.insert(name.to_owned(), (content, label));
            }
            Err(error) if error.kind() == ErrorKind::Precondition && there => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), Broken> {
        let names: BTreeSet<&str> = (0..=self.draw(3)).map(|_| self.name()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        self.told.push(format!("delete {names:?}"));
        self.area.delete(&names).await?;
        for name in names {
            self.model.remove(name);
        }
        Ok(())
    }

    async fn copy(&mut self) -> Result<(), Broken> {
        let (from, to) = (self.name(), self.name());
        // A copy onto itself that changes nothing is an error on S3.
        if from == to {
            return Ok(());
        }
        self.told.push(format!("copy {from:?} to {to:?}"));
        let source = CopySource {
            key: self.area.key(from)?,
            if_match: None,
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: Precondition::None,
            source_bytes: None,
        };
        let to_key = self.area.key(to)?;
        let copied = self.area.store().copy(source, &to_key, options).await;
        match (self.model.get(from).cloned(), copied) {
            (Some(content), Ok(_)) => {
                self.model.insert(to.to_owned(), content);
                Ok(())
            }
            (None, Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            (_, Err(error)) => Err(error.into()),
            (None, Ok(_)) => Err(Broken::new(format!("copied {from:?}, which is not there"))),
        }
    }

    async fn upload(&mut self, step: u32) -> Result<(), Broken> {
        let (name, (content, label)) = (self.name(), self.content(step));
        self.told
            .push(format!("upload {name:?} ({} bytes)", content.len()));
        let (store, key) = (self.area.store(), self.area.key(name)?);
        let options = self.options(&label, Precondition::None);
        let payload = Payload::from(content.clone());
        let upload = match store.multipart_start(&key, &options).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            upload => upload?,
        };
        let part = store.multipart_put(&key, &upload, 1, payload).await?;
        let parts = [part];
        (store.multipart_complete(&key, &upload, &parts, Precondition::None)).await?;
        self.model.insert(name.to_owned(), (content, label));
        Ok(())
    }

    /// Compares one object.
    async fn check(&self, name: &str) -> Result<(), Broken> {
        let (store, key) = (self.area.store(), self.area.key(name)?);
        let head = store.head(&key).await;
        match (self.model.get(name), head) {
            (None, Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
            (None, Ok(meta)) => Err(Broken::new(format!("{name:?} is {meta:?}, not missing"))),
            (_, Err(error)) => Err(error.into()),
            (Some((content, label)), Ok(meta)) => {
                let found = store.get_bytes(&key, GetOptions::default()).await?;
                same_bytes(&format!("{name:?}"), &found, content)?;
                if self.area.capabilities().user_metadata {
                    let found = meta.metadata.user.get("label");
                    same(&format!("label of {name:?}"), &found, &Some(label))?;
                }
                Ok(())
            }
        }
    }

    /// Compares one listing.
    async fn list(&mut self) -> Result<(), Broken> {
        let name = self.name();
        let cut = self.draw(name.len() + 1);
        let start_after = match self.draw(3) {
            0 => Some(self.name().to_owned()),
            _ => None,
        };
        let request = ListRequest {
            prefix: name[..cut].to_owned(),
            by_folder: self.draw(3) > 0,
            start_after,
            limit: [None, Some(1), Some(2), Some(3)][self.draw(4)],
            token: None,
        };
        let request = self.area.limits().askable(request);
        let found = self.area.names(&request).await?;
        same(&format!("{request:?}"), &found, &self.listed(&request))
    }

    /// What a listing must give.
    fn listed(&self, request: &ListRequest) -> (Vec<String>, Vec<String>) {
        let mut folders = BTreeSet::new();
        let mut objects = Vec::new();
        for name in self.model.keys() {
            let Some(rest) = name.strip_prefix(request.prefix.as_str()) else {
                continue;
            };
            if (request.start_after.as_ref()).is_some_and(|after| name <= after) {
                continue;
            }
            match rest.find('/') {
                Some(slash) if request.by_folder => {
                    folders.insert(name[..=request.prefix.len() + slash].to_owned());
                }
                _ => objects.push(name.clone()),
            }
        }
        (objects, folders.into_iter().collect())
    }

    /// Compares every object, and deletes them all in one go.
    async fn end(&mut self) -> Result<(), Broken> {
        let names: Vec<String> = self.model.keys().cloned().collect();
        for name in &names {
            self.check(name).await?;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.area.delete(&names).await?;
        same(
            "names at the end",
            &self.area.all_names().await?,
            &Vec::new(),
        )
    }
}
