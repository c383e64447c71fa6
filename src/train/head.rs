//! Quick training: a projection head on features that are in the catalog already.

use tch::{Kind, Tensor};

use super::report::{Focus, Loss};
use crate::model::{Head, HeadPart, ModelError};

/// How a head is learnt.
#[derive(Clone, Debug, Default)]
pub struct HeadOptions {
    /// `None` for the best measured.
    pub loss: Option<Loss>,
    pub epochs: Option<u32>,
    pub seed: u64,
    pub focus: Focus,
}

/// How far the learning of a head is.
#[derive(Clone, Copy, Debug)]
pub struct HeadProgress {
    pub epoch: u32,
    pub epochs: u32,
    pub step: u64,
    pub steps: u64,
    /// Photos seen so far, over all epochs.
    pub photos: u64,
    /// Mean over the epoch.
    pub loss: Option<f64>,
    pub validation: Option<f64>,
}

pub fn whiten_within_classes(features: &Tensor, labels: &[i64], shrink: f64) -> Result<HeadPart, ModelError> {
    let labels_t = Tensor::f_from_slice(labels)?;
    let used = labels_t.f_ge(0)?.f_nonzero()?.f_squeeze_dim(1)?;
    let x = features.f_index_select(0, &used)?;
    let y = labels_t.f_index_select(0, &used)?;
    let classes = labels.iter().max().copied().unwrap_or(0) + 1;
    let d = x.size()[1];
    let sums = Tensor::f_zeros([classes, d], (Kind::Float, x.device()))?.f_index_add(0, &y, &x)?;
    let counts = Tensor::f_zeros([classes], (Kind::Float, x.device()))?.f_index_add(
        0,
        &y,
        &y.f_ones_like()?.f_to_kind(Kind::Float)?,
    )?;
    let means = sums.f_div(&counts.f_clamp_min(1.0)?.f_unsqueeze(1)?)?;
    let r = x.f_sub(&means.f_index_select(0, &y)?)?;
    let w = r.f_transpose(0, 1)?.f_matmul(&r)?.f_div_scalar(x.size()[0] as f64)?;
    let mean = w.f_diagonal(0, 0, 1)?.f_mean(Kind::Float)?;
    let s = w
        .f_mul_scalar(1.0 - shrink)?
        .f_add(&Tensor::f_eye(d, (Kind::Float, x.device()))?.f_mul(&mean)?.f_mul_scalar(shrink)?)?;
    let (values, vectors) = s.f_linalg_eigh("L")?;
    let matrix = vectors.f_mul(&values.f_clamp_min(1e-12)?.f_rsqrt()?)?.f_matmul(&vectors.f_transpose(0, 1)?)?;
    let centre = x.f_mean_dim([0i64].as_slice(), false, Kind::Float)?;
    Ok(HeadPart {
        weight: 1.0,
        centre: Vec::<f32>::try_from(centre)?,
        matrix: Vec::<f32>::try_from(matrix.f_contiguous()?.f_view([-1])?)?,
    })
}

pub fn fit(
    features: &Tensor,
    labels: &[i64],
    options: &HeadOptions,
    tell: &mut dyn FnMut(HeadProgress) -> bool,
) -> Result<Head, ModelError> {
    let t0 = std::time::Instant::now();
    let mut white = whiten_within_classes(features, labels, 0.6)?;
    log::info!("whitening {:?}", t0.elapsed());
    white.weight = 0.87;
    // softmax
    tch::manual_seed(options.seed as i64);
    let labels_t = Tensor::f_from_slice(labels)?;
    let used = labels_t.f_ge(0)?.f_nonzero()?.f_squeeze_dim(1)?;
    let x = features.f_index_select(0, &used)?;
    let y = labels_t.f_index_select(0, &used)?;
    let (n, d) = (x.size()[0], x.size()[1]);
    let classes = labels.iter().max().copied().unwrap_or(0) + 1;
    let centre = x.f_mean_dim([0i64].as_slice(), false, Kind::Float)?;
    let x = x.f_sub(&centre)?;
    let mut m = (Tensor::randn([128, d], (Kind::Float, x.device())) / (d as f64).sqrt()).set_requires_grad(true);
    let mut c = Tensor::randn([classes, 128], (Kind::Float, x.device())).set_requires_grad(true);
    let epochs = options.epochs.unwrap_or(20);
    let batch = 256;
    let steps = (n + batch - 1) / batch * epochs as i64;
    let mut state: Vec<(Tensor, Tensor)> = [&m, &c].iter().map(|p| (p.zeros_like(), p.zeros_like())).collect();
    let mut step = 0;
    for epoch in 0..epochs {
        let order = Tensor::randperm(n, (Kind::Int64, x.device()));
        let mut total = 0.0;
        let mut at = 0;
        while at < n {
            let len = batch.min(n - at);
            let idx = order.narrow(0, at, len);
            at += len;
            let e = x.index_select(0, &idx).dropout(0.2, true).matmul(&m.tr());
            let e = &e / e.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12);
            let cn = &c / c.norm_scalaropt_dim(2.0, [-1i64].as_slice(), true).clamp_min(1e-12);
            let logits = e.matmul(&cn.tr()) * 16.0;
            let loss =
                logits.cross_entropy_loss::<Tensor>(&y.index_select(0, &idx), None, tch::Reduction::Mean, -100, 0.1);
            loss.backward();
            total += loss.double_value(&[]) * len as f64;
            step += 1;
            let lr = 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos());
            tch::no_grad(|| {
                for (i, (p, base)) in [(&mut m, 2e-3), (&mut c, 1e-2)].into_iter().enumerate() {
                    let g = p.grad();
                    let (m1, m2) = &mut state[i];
                    *m1 = &*m1 * 0.9 + &g * 0.1;
                    *m2 = &*m2 * 0.999 + &g * &g * 0.001;
                    let mh = &*m1 / (1.0 - 0.9f64.powi(step as i32));
                    let vh = &*m2 / (1.0 - 0.999f64.powi(step as i32));
                    let _ = p.g_sub_(&(mh / (vh.sqrt() + 1e-8) * (base * lr)));
                    p.zero_grad();
                }
            });
        }
        let go_on = tell(HeadProgress {
            epoch: epoch + 1,
            epochs,
            step: step as u64,
            steps: steps as u64,
            photos: (n * (epoch as i64 + 1)) as u64,
            loss: Some(total / n as f64),
            validation: None,
        });
        if !go_on {
            break;
        }
    }
    log::info!("all {:?}", t0.elapsed());
    let learnt = HeadPart {
        weight: 0.5,
        centre: Vec::<f32>::try_from(centre)?,
        matrix: Vec::<f32>::try_from(m.detach().contiguous().view([-1]))?,
    };
    Ok(Head { parts: vec![learnt, white] })
}
