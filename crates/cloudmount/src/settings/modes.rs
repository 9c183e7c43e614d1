//! Permissions of what names none, by the settings.

use cloudmount_vfs::Permissions;

use super::Settings;
use crate::units::Octal;

impl Settings {
    /// Permissions of files that name none.
    pub(crate) fn permissions_of_files(&self) -> Permissions {
        let masked = |umask: Octal| 0o666 & !umask.0;
        Permissions::from_mode(self.umask.map_or(self.file_mode.0, masked))
    }

    /// Permissions of folders that name none.
    pub(crate) fn permissions_of_folders(&self) -> Permissions {
        let masked = |umask: Octal| 0o777 & !umask.0;
        Permissions::from_mode(self.umask.map_or(self.dir_mode.0, masked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_in_place_of_both_modes() {
        let mut settings = Settings::default();
        let modes = |settings: &Settings| {
            [
                settings.permissions_of_files(),
                settings.permissions_of_folders(),
            ]
        };
        let both = |file, folder| [file, folder].map(Permissions::from_mode);
        assert_eq!(modes(&settings), both(0o644, 0o755));
        settings.set_text("file-mode", "0600").unwrap();
        assert_eq!(modes(&settings), both(0o600, 0o755));
        settings.set_text("umask", "002").unwrap();
        assert_eq!(modes(&settings), both(0o664, 0o775));
        settings.set_text("umask", "0").unwrap();
        assert_eq!(modes(&settings), both(0o666, 0o777));
        assert!(settings.set_text("umask", "9").is_err());
    }
}
