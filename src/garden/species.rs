//! The species of the sample garden: how each of them grows.

pub(super) const GREEN: u32 = 0x4c7a36;

/// One kind of flower: its name and how it grows. Lengths are in flower radii, angles in degrees.
pub struct Species {
    /// The name people know it by; also the name of its folder and the start of its file names.
    pub name: &'static str,
    pub(super) habit: Habit,
    /// How far the flower leans back: 0 faces the viewer, 90 looks up, negative nods.
    pub(super) tilt: (f32, f32),
    /// How far the flower may turn in the picture, either way.
    pub(super) roll: f32,
    /// Size in the picture, and how far along its axis the visual middle lies.
    pub(super) size: f32,
    pub(super) middle: f32,
    pub(super) whorls: &'static [Whorl],
    pub(super) centre: Centre,
    pub(super) leaf: &'static Whorl,
}

/// How single flowers make up a bloom.
pub(super) enum Habit {
    Solo,
    Globe { florets: usize, size: f32, cover: f32, core: u32 },
    Spike { florets: usize, size: f32, height: f32, rise: f32 },
}

/// A ring of equal petals, or several layers of such rings.
pub(super) struct Whorl {
    pub(super) count: usize,
    pub(super) layers: usize,
    /// The part of the circle the ring fills, and the direction of its first petal.
    pub(super) arc: f32,
    pub(super) turn: f32,
    /// Distance from the axis and height where petals start.
    pub(super) at: (f32, f32),
    pub(super) length: f32,
    /// Half the width at the widest place.
    pub(super) width: f32,
    /// Outline: how slowly the petal widens, and how pointed it ends.
    pub(super) shape: (f32, f32),
    /// Elevation at the base, its change along the petal, and its late change near the tip.
    pub(super) lift: f32,
    pub(super) curl: f32,
    pub(super) flare: f32,
    /// How much every further layer stands up and shrinks.
    pub(super) close: f32,
    pub(super) shrink: f32,
    /// Hollow across the petal, waviness, and notches in the tip (depth, how many).
    pub(super) cup: f32,
    pub(super) ruffle: f32,
    pub(super) notch: (f32, f32),
    /// Petals bend round the axis and join where they are wide enough: cups, bells, trumpets.
    pub(super) wrap: bool,
    /// From base to tip.
    pub(super) colours: [u32; 2],
    pub(super) vein: f32,
    pub(super) mark: Mark,
}

/// A second colour on a petal.
pub(super) enum Mark {
    None,
    /// At the base, up to this part of the length.
    Blotch(u32, f32),
    Stripes(u32),
    Spots(u32),
    Edge(u32),
}

/// A dome of beads (disc florets), and stamens around it.
pub(super) struct Centre {
    pub(super) beads: usize,
    pub(super) radius: f32,
    pub(super) height: f32,
    pub(super) colours: [u32; 2],
    pub(super) stamens: usize,
    pub(super) reach: f32,
    pub(super) anther: u32,
}

const WHORL: Whorl = Whorl {
    count: 5,
    layers: 1,
    arc: 360.0,
    turn: 0.0,
    at: (0.06, 0.0),
    length: 0.94,
    width: 0.3,
    shape: (0.5, 0.4),
    lift: 10.0,
    curl: 0.0,
    flare: 0.0,
    close: 0.0,
    shrink: 1.0,
    cup: 0.15,
    ruffle: 0.0,
    notch: (0.0, 1.0),
    wrap: false,
    colours: [0xffffff; 2],
    vein: 0.12,
    mark: Mark::None,
};
const CENTRE: Centre = Centre {
    beads: 0,
    radius: 0.1,
    height: 0.05,
    colours: [0xe8b020, 0xf7d84a],
    stamens: 0,
    reach: 0.4,
    anther: 0xe8b020,
};
const PLANT: Species = Species {
    name: "",
    habit: Habit::Solo,
    tilt: (0.0, 50.0),
    roll: 180.0,
    size: 1.0,
    middle: 0.0,
    whorls: &[],
    centre: CENTRE,
    leaf: &BROAD,
};

#[rustfmt::skip]
const BLADE: Whorl = Whorl { length: 2.6, width: 0.13, shape: (0.15, 0.6), lift: 62.0,
    curl: -35.0, colours: [0x2c5a2c, 0x5f9a4c], cup: 0.5, ..WHORL };
#[rustfmt::skip]
const BROAD: Whorl = Whorl { length: 1.0, width: 0.3, shape: (0.6, 0.7), lift: 35.0,
    curl: -50.0, colours: [0x24501f, 0x4d8a38], vein: 0.3, ruffle: 0.03, ..WHORL };
#[rustfmt::skip]
const LANCE: Whorl = Whorl { length: 1.2, width: 0.12, shape: (0.5, 0.8), lift: 45.0,
    curl: -60.0, colours: [0x2f5a2a, 0x6a9a4c], vein: 0.2, ..WHORL };

/// Every species of the garden.
#[rustfmt::skip]
pub const SPECIES: &[Species] = &[
    Species { name: "Oxeye daisy", leaf: &LANCE, size: 0.95,
        whorls: &[Whorl { count: 21, at: (0.2, 0.0), length: 0.8, width: 0.115,
            shape: (0.3, 0.28), lift: 14.0, curl: -26.0, colours: [0xe9ecdc, 0xffffff], notch: (0.04, 2.0), ..WHORL }],
        centre: Centre { beads: 110, radius: 0.28, height: 0.12, colours: [0xd89000, 0xffd030], ..CENTRE }, ..PLANT },
    Species { name: "Sunflower", size: 1.15,
        whorls: &[Whorl { count: 19, layers: 2, at: (0.42, 0.0), length: 0.62, width: 0.125,
            shape: (0.5, 0.75), lift: 10.0, curl: -15.0, close: 14.0, colours: [0xe07a00, 0xffc810], vein: 0.3, ..WHORL }],
        centre: Centre { beads: 230, radius: 0.46, height: 0.1, colours: [0x8a5a1c, 0x341a0a], ..CENTRE }, ..PLANT },
    Species { name: "Red tulip", tilt: (62.0, 92.0), roll: 18.0, size: 0.9, middle: 0.5, leaf: &BLADE,
        whorls: &[
            Whorl { count: 3, turn: 90.0, at: (0.06, 0.0), length: 1.5, width: 0.46, shape: (0.45, 0.55), lift: 22.0,
                curl: 92.0, flare: -22.0, wrap: true, colours: [0xe8a020, 0xe01824], vein: 0.2, ..WHORL },
            Whorl { count: 3, turn: 30.0, at: (0.02, 0.02), length: 1.5, width: 0.44, shape: (0.45, 0.55),
                lift: 24.0, curl: 92.0, flare: -18.0, wrap: true, colours: [0xd88018, 0xc00c1c], vein: 0.2, ..WHORL }],
        centre: Centre { stamens: 6, reach: 0.5, anther: 0x201018, ..CENTRE }, ..PLANT },
    Species { name: "Field poppy", tilt: (5.0, 65.0), leaf: &LANCE,
        whorls: &[Whorl { count: 2, layers: 2, length: 0.98, width: 0.78, shape: (0.6, 0.34), lift: 6.0,
            curl: 26.0, close: 10.0, shrink: 0.9, ruffle: 0.06, colours: [0xb81008, 0xf23a1e], vein: 0.22,
            mark: Mark::Blotch(0x180812, 0.3), ..WHORL }],
        centre: Centre { beads: 30, radius: 0.14, height: 0.16, colours: [0x54703a, 0x9ab070],
            stamens: 44, reach: 0.3, anther: 0x1c1420 }, ..PLANT },
    Species { name: "Blue cornflower", tilt: (0.0, 60.0), leaf: &LANCE,
        whorls: &[
            Whorl { count: 10, at: (0.12, 0.0), length: 0.9, width: 0.24, shape: (1.7, 0.1), lift: 28.0,
                curl: -30.0, notch: (0.42, 3.0), colours: [0x2030a0, 0x4a70ff], cup: 0.9, ..WHORL },
            Whorl { count: 11, layers: 3, at: (0.05, 0.0), length: 0.46, width: 0.045, shape: (0.4, 0.5),
                lift: 38.0, close: 15.0, colours: [0x301878, 0x8a44d0], ..WHORL }],
        centre: Centre { beads: 14, radius: 0.16, height: 0.1, colours: [0x8a60d8, 0x3a1c80], ..CENTRE }, ..PLANT },
    Species { name: "Violet bellflower", habit: Habit::Spike { florets: 6, size: 0.48, height: 1.7, rise: -62.0 },
        tilt: (70.0, 95.0), roll: 16.0, size: 0.95, middle: 0.7, leaf: &LANCE,
        whorls: &[Whorl { count: 5, at: (0.04, 0.0), length: 1.45, width: 0.44, shape: (0.25, 0.5), lift: 18.0,
            curl: 95.0, flare: -95.0, wrap: true, colours: [0x4a2a9c, 0x9a78f0], vein: 0.25, ..WHORL }],
        centre: Centre { stamens: 3, reach: 0.9, anther: 0xf4ecc0, ..CENTRE } },
    Species { name: "Stargazer lily", tilt: (10.0, 55.0), size: 1.15, leaf: &LANCE,
        whorls: &[Whorl { count: 3, layers: 2, length: 1.15, width: 0.27, shape: (0.6, 0.65), lift: 34.0,
            curl: -20.0, flare: -50.0, close: 4.0, ruffle: 0.03, colours: [0xd02468, 0xf088b0], vein: 0.1,
            mark: Mark::Spots(0x8a0a38), ..WHORL }],
        centre: Centre { beads: 1, radius: 0.06, colours: [0x88a858; 2], stamens: 6, reach: 0.62, anther: 0x9a3c12, ..CENTRE }, ..PLANT },
    Species { name: "Pink rose", tilt: (5.0, 60.0), size: 0.95,
        whorls: &[Whorl { count: 5, layers: 7, at: (0.03, 0.0), length: 0.98, width: 0.52, shape: (0.5, 0.22),
            lift: 6.0, curl: 45.0, flare: -35.0, close: 9.5, shrink: 0.86, cup: 0.3, ruffle: 0.02,
            colours: [0xc02858, 0xf9aac2], vein: 0.05, ..WHORL }],
        centre: Centre { beads: 1, radius: 0.1, height: 0.16, colours: [0xc84070; 2], ..CENTRE }, ..PLANT },
    Species { name: "Purple coneflower", tilt: (25.0, 75.0), roll: 20.0,
        whorls: &[Whorl { count: 15, at: (0.25, 0.0), length: 0.85, width: 0.14, shape: (0.3, 0.3), lift: 2.0,
            curl: -42.0, notch: (0.08, 2.0), colours: [0xa03888, 0xe89cd0], vein: 0.25, ..WHORL }],
        centre: Centre { beads: 150, radius: 0.33, height: 0.36, colours: [0xf08020, 0x6a2410], ..CENTRE }, ..PLANT },
    Species { name: "Forget-me-not", habit: Habit::Globe { florets: 12, size: 0.34, cover: 0.58, core: 0x3c6a34 },
        size: 0.95,
        whorls: &[Whorl { length: 0.86, width: 0.44, shape: (0.45, 0.3), lift: 8.0, curl: -10.0,
            colours: [0xe8f0ff, 0x5a98f0], cup: 0.05, ..WHORL }],
        centre: Centre { beads: 6, radius: 0.2, height: 0.06, colours: [0xb87010, 0xffd838], ..CENTRE }, ..PLANT },
    Species { name: "Snowdrop", tilt: (-92.0, -62.0), roll: 20.0, size: 0.8, middle: 0.5, leaf: &BLADE,
        whorls: &[
            Whorl { count: 3, turn: 90.0, at: (0.05, 0.0), length: 1.3, width: 0.37, shape: (0.55, 0.42),
                lift: 34.0, curl: 36.0, cup: 0.4, colours: [0xe4eed8, 0xffffff], vein: 0.14, ..WHORL },
            Whorl { count: 3, turn: 30.0, length: 0.8, width: 0.3, shape: (0.3, 0.25), lift: 58.0,
                curl: 24.0, cup: 0.0, wrap: true, notch: (0.14, 1.0), colours: [0xf4f8ee; 2], mark: Mark::Edge(0x2f8a38), ..WHORL }],
        centre: Centre { stamens: 5, reach: 0.5, anther: 0xf0a020, ..CENTRE }, ..PLANT },
    Species { name: "Daffodil", tilt: (5.0, 55.0), leaf: &BLADE,
        whorls: &[
            Whorl { count: 3, layers: 2, at: (0.1, 0.0), length: 0.94, width: 0.36, shape: (0.5, 0.5), lift: 4.0,
                close: 5.0, colours: [0xf0cc28, 0xfff07a], vein: 0.14, ruffle: 0.03, ..WHORL },
            Whorl { count: 6, at: (0.15, 0.0), length: 0.66, width: 0.5, shape: (0.06, 0.06), lift: 84.0,
                flare: -66.0, wrap: true, cup: 0.0, ruffle: 0.07, colours: [0xe88400, 0xff9c10], vein: 0.25, ..WHORL }],
        centre: Centre { stamens: 6, reach: 0.36, anther: 0xffd850, ..CENTRE }, ..PLANT },
    Species { name: "Hydrangea", habit: Habit::Globe { florets: 46, size: 0.29, cover: 1.25, core: 0x28366e },
        tilt: (10.0, 60.0), size: 1.05,
        whorls: &[Whorl { count: 4, length: 0.92, width: 0.46, shape: (0.7, 0.45), lift: 16.0, curl: -22.0,
            colours: [0xa8a0f0, 0x93a4fa], vein: 0.16, ..WHORL }],
        centre: Centre { beads: 1, radius: 0.09, height: 0.05, colours: [0xe4ecd0; 2], ..CENTRE }, ..PLANT },
    Species { name: "Grape hyacinth", habit: Habit::Spike { florets: 52, size: 0.22, height: 1.6, rise: -35.0 },
        tilt: (75.0, 95.0), roll: 14.0, size: 0.95, middle: 0.8, leaf: &BLADE,
        whorls: &[Whorl { count: 5, at: (0.04, 0.0), length: 1.7, width: 0.6, shape: (0.2, 0.15), lift: -5.0,
            curl: 150.0, wrap: true, colours: [0x3a34b8, 0x4a48c8], mark: Mark::Edge(0xa8b0f8), vein: 0.05, ..WHORL }], ..PLANT },
    Species { name: "Striped crocus", tilt: (35.0, 85.0), roll: 22.0, size: 0.9, middle: 0.45, leaf: &BLADE,
        whorls: &[Whorl { count: 3, layers: 2, at: (0.04, 0.0), length: 1.3, width: 0.36, shape: (0.5, 0.45),
            lift: 40.0, curl: 38.0, close: 8.0, cup: 0.5, colours: [0x9a70d0, 0xf6f0ff], mark: Mark::Stripes(0x5a20a0), ..WHORL }],
        centre: Centre { stamens: 3, reach: 0.8, anther: 0xff7a08, ..CENTRE }, ..PLANT },
    Species { name: "Crimson dahlia", size: 1.05,
        whorls: &[Whorl { count: 13, layers: 7, at: (0.05, 0.0), length: 0.96, width: 0.16, shape: (0.6, 0.6),
            lift: 2.0, curl: 8.0, close: 11.5, shrink: 0.84, cup: 0.9, colours: [0x6a0420, 0xc81444],
            mark: Mark::Edge(0xffe4ec), ..WHORL }],
        centre: Centre { beads: 4, radius: 0.1, height: 0.1, colours: [0xa01038; 2], ..CENTRE }, ..PLANT },
    Species { name: "Pansy", tilt: (-15.0, 30.0), roll: 22.0, size: 0.95,
        whorls: &[
            Whorl { count: 2, arc: 110.0, turn: 242.5, at: (0.05, -0.22), length: 1.0, width: 0.56, shape: (0.5, 0.25),
                ruffle: 0.03, colours: [0x3c1478, 0x8444d8], vein: 0.25, ..WHORL },
            Whorl { count: 2, arc: 290.0, turn: 197.5, at: (0.05, 0.0), length: 0.88, width: 0.52, shape: (0.5, 0.25),
                ruffle: 0.03, colours: [0xffd030, 0xffe468], vein: 0.15, mark: Mark::Blotch(0x24062e, 0.52), ..WHORL },
            Whorl { count: 1, turn: 90.0, at: (0.04, 0.1), length: 0.9, width: 0.66, shape: (0.45, 0.2),
                ruffle: 0.04, notch: (0.12, 1.0), colours: [0xffb808, 0xffe050], vein: 0.15, mark: Mark::Blotch(0x24062e, 0.58), ..WHORL }],
        centre: Centre { beads: 3, radius: 0.07, height: 0.1, colours: [0x90a830, 0xfff0a0], ..CENTRE }, ..PLANT },
];
