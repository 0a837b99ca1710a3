"""Train on a condensed set with the Trainer of transformers, and test on real images.

uv run --extra hf --with transformers,accelerate python examples/train_hf_trainer.py
"""

import numpy as np
import torch
import transformers  # pyright: ignore[reportMissingImports]
from datasets import Dataset

import attar


def main(updates: int = 300) -> float:
    digits = attar.load_source("digits")
    condensed = attar.condense("digits", method="random", ipc=10)
    assert digits.test is not None
    real = {
        "pixel_values": condensed.transform(digits.test.images[:]).numpy(),
        "label": digits.test.labels.numpy(),
    }
    channels, side, _ = condensed.images.shape[1:]
    shape = {"num_channels": channels, "image_size": side, "patch_size": 2}
    width = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
    config = transformers.ViTConfig(
        **shape,
        **width,
        num_hidden_layers=2,
        id2label=dict(enumerate(condensed.classes)),
        label2id=condensed.class_to_idx,
    )
    options = transformers.TrainingArguments(
        "hf-trainer",
        max_steps=updates,
        learning_rate=1e-3,
        per_device_train_batch_size=50,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
    )
    trainer = transformers.Trainer(
        transformers.ViTForImageClassification(config),
        options,
        # the columns pixel_values and label are what its models take; it drops the others
        train_dataset=condensed.as_datasets().with_format("torch"),
        eval_dataset=Dataset.from_dict(real).with_format("torch"),
        compute_metrics=lambda found: {
            "accuracy": float((np.argmax(found.predictions, axis=1) == found.label_ids).mean())
        },
    )
    trainer.train()
    return trainer.evaluate()["eval_accuracy"]


if __name__ == "__main__":
    torch.manual_seed(0)
    print(f"accuracy on real digits: {main():.1%}")
