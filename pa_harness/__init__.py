"""pa-harness: how much instruction tuning should I keep?

Partial adaptation moves an instruct model's weights part of the way back to its base model:

    θ_λ = θ_base + λ (θ_instruct − θ_base)

(İrsoy et al. 2025, "Improving Instruct Models for Free: A Study on Partial Adaptation",
arXiv 2504.11626). λ = 0 is the base model, λ = 1 the instruct model. λ is typed ``lam``
(``lambda`` is a Python keyword); wise-ft calls it α, mergekit's slerp calls it ``t``.

Floor plan; each line may import what stands above it (tests/test_house.py has the exact table):

    for everyone     errors
    λ in weights     interpolation, tensor_names - schedule (λ by rules), methods - checkpoint,
                     argument_types, arguments - hub, configuration, vocabulary, adapter,
                     provenance - pair - architecture, inspection - loading - opening
    exact scoring    token_trie - packing (passes) - tree_attention - prefix_scoring -
                     compatibility (which models), prefix_generation - prefix_sharing
    for lm-eval      tasks, aggregation - registration (startup hook), model (PartiallyAdaptedLM)
    at scale         processes (of accelerate), extras - data_parallel, adapted_model (what all
                     models share), lazy_tensor - engine_arguments, engine_weights, vllm_worker -
                     vllm_model (PartiallyAdaptedVLLM)
    task YAMLs       documents, demonstrations, bbh, truthfulqa, extraction, f1, alpaca_task
    own tasks        data_file - answer_column - prompt_template - task_template (new-task);
                     task_source - task_documents - document_checks, token_checks - task_check
    a sweep          storage, grid (of λ), samples, scores (flat record) - settings - value_table
                     (paired by document), folder (of a run), progress, workload (prompts, once) -
                     evaluation - unit_worker, cluster (who does what), cluster_options -
                     ray_executor - sweep
    a finished run   trajectory (a run as arrays) - trajectory_reader, resampling, calibration -
                     statistics - choice (of λ) - tables, drawing, browser (of documents) -
                     plotting - figures (files) - report (one page) - publication (all of them)
    judging          alpaca_data (published files), judge_request - model_outputs - reference,
                     annotator - alpaca (wraps alpaca-eval), win_rate, leaderboard_match -
                     verdicts (kept), price, judgements (folder) - judge_server - asking,
                     judge_numbers, judge_tables - judging
    published        reported (a number) - leaderboard (rows), boards (rules), model_names -
                     lm_eval_files, judgement_files, score_tables, every_eval_ever - result_files -
                     board_scores - comparison - standing (ranks) - side_by_side -
                     comparison_text, sharing
    finding λ        search (what to ask next) - auto (the sweeps of a search)
    shipping a model shards (files), model_card, evaluated (what a run knows) - export -
                     recipes (for mergekit and peft)
    commands         cli_verb - cli_search - cli_sweep, cli_run, cli_judge, cli_compare,
                     cli_export - cli

This module imports nothing, so that the startup hook (`pa_harness.registration`) stays cheap.
"""

__version__ = "0.1.0"
