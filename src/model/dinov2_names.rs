//! DINOv2's weights under the names of timm and of Hugging Face's transformers, brought to those of facebookresearch/dinov2,
//! which the network is built from.

use super::NamedTensor;
use super::dinov2::{BLOCKS, PATCH};

/// Renames in place; anything but DINOv2 stays as it is.
pub(super) fn use_original_names(tensors: &mut Vec<NamedTensor>) {
    let is_hugging_face = |tensor: &NamedTensor| tensor.name.ends_with(HUGGING_FACE) && is_patch(&tensor.shape);
    if tensors.iter().any(is_hugging_face) {
        rename_hugging_face(tensors);
        join_attention(tensors);
    }
    let is_dinov2 = |tensor: &NamedTensor| tensor.name == "patch_embed.proj.weight" && is_patch(&tensor.shape);
    if tensors.iter().any(is_dinov2) {
        rename_registers(tensors);
    }
}

/// What a file of Hugging Face's has, whatever wraps the network.
const HUGGING_FACE: &str = "embeddings.patch_embeddings.projection.weight";

fn is_patch(shape: &[usize]) -> bool {
    matches!(shape, [_, 3, height, width] if [*height, *width] == [PATCH as usize; 2])
}

fn rename_hugging_face(tensors: &mut [NamedTensor]) {
    const NAMES: [(&str, &str); 5] = [
        ("embeddings.cls_token", "cls_token"),
        ("embeddings.position_embeddings", "pos_embed"),
        ("embeddings.register_tokens", "register_tokens"),
        ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
        ("layernorm.", "norm."),
    ];
    // The first four are those since version 5 of transformers.
    const PARTS: [(&str, &str); 7] = [
        ("attention.o_proj.", "attn.proj."),
        ("attention.q_proj.", "attention.attention.query."),
        ("attention.k_proj.", "attention.attention.key."),
        ("attention.v_proj.", "attention.attention.value."),
        ("attention.output.dense.", "attn.proj."),
        ("layer_scale1.lambda1", "ls1.gamma"),
        ("layer_scale2.lambda1", "ls2.gamma"),
    ];
    for NamedTensor { name, .. } in tensors {
        // A network for a task has this before the names of its backbone.
        let own = name.strip_prefix("dinov2_with_registers.").or(name.strip_prefix("dinov2."));
        let own = own.unwrap_or(name);
        let renamed = match own.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.')) {
            Some((block, part)) => {
                let known = PARTS.iter().find_map(|(from, to)| Some(format!("{to}{}", part.strip_prefix(from)?)));
                Some(format!("blocks.{block}.{}", known.as_deref().unwrap_or(part)))
            }
            None => NAMES.iter().find_map(|(from, to)| Some(format!("{to}{}", own.strip_prefix(from)?))),
        };
        if let Some(renamed) = renamed {
            *name = renamed;
        }
    }
}

/// Queries, keys and values one below the other, where all three of a block are there and of one kind.
fn join_attention(tensors: &mut Vec<NamedTensor>) {
    for block in 0..BLOCKS {
        for part in ["weight", "bias"] {
            let names =
                ["query", "key", "value"].map(|what| format!("blocks.{block}.attention.attention.{what}.{part}"));
            let find = |name: &String| tensors.iter().find(|tensor| tensor.name == *name);
            let [Some(query), Some(key), Some(value)] = names.each_ref().map(find) else { continue };
            if query.shape.is_empty() || query.shape != key.shape || query.shape != value.shape {
                continue;
            }
            let mut shape = query.shape.clone();
            let Some(rows) = shape[0].checked_mul(3) else { continue };
            shape[0] = rows;
            let values = [&query.values[..], &key.values, &value.values].concat();
            tensors.retain(|tensor| !names.contains(&tensor.name));
            tensors.push(NamedTensor { name: format!("blocks.{block}.attn.qkv.{part}"), shape, values });
        }
    }
}

/// timm has added the class token's position to the token itself, where there are registers.
fn rename_registers(tensors: &mut [NamedTensor]) {
    for tensor in &mut *tensors {
        if tensor.name == "reg_token" {
            "register_tokens".clone_into(&mut tensor.name);
        }
    }
    let has_registers = tensors.iter().any(|tensor| tensor.name == "register_tokens");
    let grid_alone =
        |shape: &[usize]| matches!(shape, [1, patches, _] if *patches > 0 && patches.isqrt().pow(2) == *patches);
    let positions = tensors.iter_mut().find(|tensor| tensor.name == "pos_embed" && grid_alone(&tensor.shape));
    if let Some(positions) = positions.filter(|_| has_registers) {
        positions.shape[1] += 1;
        let width = positions.shape[2];
        positions.values.splice(0..0, std::iter::repeat_n(0.0, width));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Architecture, formula};

    #[test]
    fn other_networks_and_halves_of_an_attention_keep_their_names() {
        let tensors = formula::weights(Architecture::ResNet18);
        let mut renamed = tensors.clone();
        use_original_names(&mut renamed);
        assert!(renamed == tensors);
        let mut without_a_key = formula::as_hugging_face(&formula::weights(Architecture::DinoV2Small), false);
        without_a_key.retain(|tensor| !tensor.name.contains("layer.7.attention.attention.key.bias"));
        use_original_names(&mut without_a_key);
        let has = |name: &str| without_a_key.iter().any(|tensor| tensor.name == name);
        assert!(has("blocks.6.attn.qkv.bias") && has("blocks.7.attn.qkv.weight") && !has("blocks.7.attn.qkv.bias"));
    }
    #[test]
    fn shapes_without_numbers_cost_nothing() {
        let tensor = |name: &str, shape: &[usize], values: usize| NamedTensor {
            name: name.into(),
            shape: shape.to_vec(),
            values: vec![0.5; values],
        };
        let huge = 1 << 60;
        let mut tensors = vec![
            tensor("patch_embed.proj.weight", &[1, 3, 14, 14], 588),
            tensor("reg_token", &[1, 4, 1], 4),
            tensor("pos_embed", &[1, 0, huge], 0),
            tensor("embeddings.patch_embeddings.projection.weight", &[1, 3, 14, 14], 588),
        ];
        for what in ["query", "key", "value"] {
            let name = format!("encoder.layer.0.attention.attention.{what}.weight");
            tensors.push(tensor(&name, &[1 << 63, 0], 0));
        }
        use_original_names(&mut tensors);
        let shapes: Vec<&[usize]> = tensors.iter().map(|tensor| tensor.shape.as_slice()).collect();
        assert!(shapes.contains(&&[1, 0, huge][..]) && shapes.contains(&&[1 << 63, 0][..]), "{shapes:?}");
    }
}
