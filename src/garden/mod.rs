//! The sample garden: flower pictures that the program draws itself, so that a newcomer without a photo of their own can
//! still try a search within a minute, offline and free of anyone's copyright.

mod drawing;
mod species;

use std::{fs, io, path::Path};

use image::codecs::jpeg::JpegEncoder;

use crate::atomic_file::{self, Survives};
pub use drawing::draw;
pub use species::{SPECIES, Species};

/// How many different pictures [`write()`] makes of each species.
pub(crate) const PHOTOS_PER_SPECIES: usize = 12;
const JPEG_QUALITY: u8 = 88;

/// Writes every picture that is not there yet as `folder/<species>/<species> 01.jpg` and so on.
///
/// `progress` hears how many pictures are done and of how many, and stops the work by returning
/// false. Returns whether the garden is complete. A picture gets its name only once it is whole.
///
/// # Errors
/// When a picture cannot be written.
pub fn write(folder: &Path, progress: &mut dyn FnMut(usize, usize) -> bool) -> io::Result<bool> {
    let total = SPECIES.len() * PHOTOS_PER_SPECIES;
    for done in 0..total {
        if !progress(done, total) {
            return Ok(false);
        }
        let (species, number) = (&SPECIES[done / PHOTOS_PER_SPECIES], done % PHOTOS_PER_SPECIES + 1);
        let bed = folder.join(species.name);
        let photo = bed.join(format!("{} {number:02}.jpg", species.name));
        if fs::metadata(&photo).is_ok_and(|found| found.len() > 0) {
            continue;
        }
        let mut bytes = Vec::new();
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        draw(species, number).write_with_encoder(encoder).map_err(io::Error::other)?;
        fs::create_dir_all(&bed)?;
        atomic_file::write(&photo, &bytes, Survives::Kill)?;
    }
    progress(total, total);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::drawing::{add, dot, scale, sub};
    use super::*;

    #[test]
    fn the_same_number_draws_the_same_picture_and_another_draws_another() {
        let daisy = &SPECIES[0];
        assert_eq!(draw(daisy, 4), draw(daisy, 4));
        assert_ne!(draw(daisy, 4), draw(daisy, 8));
    }

    #[test]
    fn species_differ_clearly() {
        let [daisy, tulip] = [&SPECIES[0], &SPECIES[2]].map(|species| {
            let photos = (1..=4).map(|number| draw(species, number));
            photos.fold([0.0_f32; 3], |sum, photo| {
                let pixels = photo.width() * photo.height();
                let light = photo.pixels().map(|pixel| pixel.0.map(f32::from));
                add(sum, scale(light.fold([0.0; 3], add), 0.25 / pixels as f32))
            })
        });
        let apart = sub(daisy, tulip);
        assert!(dot(apart, apart).sqrt() > 15.0, "{daisy:?} {tulip:?}");
    }

    #[test]
    fn writing_stops_when_told_and_skips_what_is_there() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let bed = folder.path().join("Oxeye daisy");
        let photo = |number| bed.join(format!("Oxeye daisy {number:02}.jpg"));
        fs::create_dir_all(&bed)?;
        fs::write(photo(1), b"mine")?;
        fs::write(photo(2), b"")?;
        assert!(!write(folder.path(), &mut |done, _| done < 2)?);
        assert_eq!(fs::read(photo(1))?, b"mine");
        assert!(image::open(photo(2)).is_ok(), "an empty file is drawn anew");
        assert!(!photo(3).exists());
        assert_eq!(fs::read_dir(&bed)?.count(), 2);
        Ok(())
    }
}
