//! All suites on the model.

use cloudmount_testkit::model::{ModelWorld, Pace, Settings};

mod at_once {
    use super::*;

    async fn world() -> ModelWorld {
        ModelWorld::default()
    }

    cloudmount_testkit::vfs_tests!(world);
}

mod yielding {
    use super::*;

    async fn world() -> ModelWorld {
        ModelWorld::new(Settings {
            pace: Pace::Yielding,
            ..Settings::default()
        })
    }

    cloudmount_testkit::vfs_tests!(world);
}

/// Without a bucket and without mounting again, and where names can change places.
mod bare {
    use std::sync::Arc;

    use cloudmount_testkit::model::{Exchange, Limits, Model};
    use cloudmount_testkit::{ManualClock, World};

    use super::*;

    struct Bare(ModelWorld);

    impl World for Bare {
        type Fs = Model;

        fn vfs(&self) -> Arc<Model> {
            self.0.vfs()
        }

        fn clock(&self) -> ManualClock {
            self.0.clock()
        }
    }

    async fn world() -> Bare {
        let limits = Limits {
            exchange: Exchange::Offered,
            ..Limits::default()
        };
        Bare(ModelWorld::new(Settings {
            limits,
            ..Settings::default()
        }))
    }

    cloudmount_testkit::vfs_tests!(world, without: bucket, remount);

    #[tokio::test]
    async fn names_can_change_places() {
        use cloudmount_testkit::suite::Mounted;
        use cloudmount_vfs::{ErrorKind, RenameMode};

        let mounted = Mounted::new(world().await).await;
        let k = mounted.kernel();
        k.mkdir("/d", 0o755).await.unwrap();
        k.write_file("/d/f", b"f").await.unwrap();
        k.write_file("/g", b"g").await.unwrap();
        let numbers = (
            k.stat("/d").await.unwrap().ino,
            k.stat("/g").await.unwrap().ino,
        );
        k.rename_with("/d", "/g", RenameMode::Exchange)
            .await
            .unwrap();
        assert_eq!(k.read_file("/g/f").await.unwrap(), "f");
        assert_eq!(k.read_file("/d").await.unwrap(), "g");
        assert_eq!(
            (
                k.stat("/g").await.unwrap().ino,
                k.stat("/d").await.unwrap().ino
            ),
            numbers
        );
        let below = k.rename_with("/g", "/g/f", RenameMode::Exchange).await;
        assert_eq!(below.unwrap_err().kind(), ErrorKind::InvalidArgument);
        let missing = k.rename_with("/g", "/no", RenameMode::Exchange).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
        mounted.end().await;
    }
}
