"""How the starter model is told of tools, which its own template knows nothing of.

Programs such as Open WebUI offer tools with every message and give up where a model takes none, so that a
newcomer's first question would end in an error. Without tools this renders what the model's own template
does; with them it adds them to the system message, in the form that the larger models of its family learnt.
"""

TEMPLATE = """\
{%- set about -%}
{%- if tools %}


# Tools

To call a function, write its name and arguments within <tool_call></tool_call>:
<tool_call>
{"name": "the function", "arguments": {"an argument": "its value"}}
</tool_call>
The functions are within <tools></tools>:
<tools>
{%- for tool in tools %}

{{ tool | tojson }}
{%- endfor %}

</tools>
{%- endif -%}
{%- endset -%}
{%- if messages and messages[0].role != 'system' -%}
{{- '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face' -}}
{{- about + '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
{%- if loop.first and message.role == 'system' -%}
{{- about -}}
{%- endif -%}
{%- for call in message.tool_calls or [] -%}
{{- '\\n<tool_call>\\n{"name": ' + (call.function.name | tojson) + ', "arguments": ' -}}
{{- (call.function.arguments | tojson) + '}\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""
