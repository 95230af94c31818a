"""Tools over the Model Context Protocol: ours for other programs, those of others for our agent.

    python -m fmcourse.apps.mcp_tools    serves the tools that ship, over standard input and output

A server is a process of its own: it can be killed when it hangs, and shares no memory with the
agent. Needs the package `mcp`, the protocol's official library. https://modelcontextprotocol.io
"""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fmcourse.apps.tools import (
    CallError,
    Confirm,
    Parameter,
    Tool,
    ToolCall,
    check_arguments,
    find_tool,
    run_tool,
)

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server import Server

TOOL_SECONDS = 30.0
KNOWN = {"type": str, "enum": list}  # keys of a parameter's JSON Schema


def require_mcp() -> None:
    """Raises: ModuleNotFoundError with the command that installs the package `mcp`."""
    try:
        import mcp  # noqa: F401 (here and below: an extra that most lessons do without)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}; `pip install mcp -c constraints.txt` installs the protocol's library."
        ) from None


# -- ours, served ---------------------------------------------------------------------------------


def make_server(tools: Sequence[Tool], seconds: float = TOOL_SECONDS) -> "Server":
    """A server of these tools; a call that fails gives its client the sentence that says why.

    Args:
        seconds: for each call.
    Raises: ValueError for a tool that a person must confirm: whoever calls is not known here.
    """
    require_mcp()
    import mcp_types as types
    from mcp.server import Server

    if unsafe := [tool.name for tool in tools if tool.confirm != "never"]:
        raise ValueError(
            f"{', '.join(unsafe)} must be confirmed by a person, and a server cannot ask one; "
            "serve tools with confirm='never'."
        )
    by_name = {tool.name: tool for tool in tools}

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(name=tool.name, description=tool.description, input_schema=tool.schema())
                for tool in tools
            ]
        )

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            tool, arguments = find_tool(params.name, by_name), params.arguments or {}
            check_arguments(tool, arguments)
            # In a thread, so that a slow tool holds up no other request.
            text = await asyncio.to_thread(run_tool, ToolCall(tool, arguments), seconds)
        except CallError as error:
            return types.CallToolResult(content=[types.TextContent(text=str(error))], is_error=True)
        return types.CallToolResult(content=[types.TextContent(text=text)])

    return Server(
        "fmcourse", version=version("fmcourse"), on_list_tools=list_tools, on_call_tool=call_tool
    )


def serve(tools: Sequence[Tool], seconds: float = TOOL_SECONDS) -> None:
    """Serve these tools over standard input and output until the client closes them."""
    server = make_server(tools, seconds)
    from mcp.server.stdio import stdio_server

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    asyncio.run(run())


# -- those of others, used ------------------------------------------------------------------------


@contextmanager
def connect(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    seconds: float = TOOL_SECONDS,
    confirm: Confirm = "tainted",
) -> Iterator[list[Tool]]:
    """Start a server and yield its tools, for an `Agent`; it is stopped at the end.

    Nothing that comes from it is trusted: neither results nor what it says of its own tools' risks.
    But its descriptions stand in the prompt, so connect servers that you chose.

    Args:
        command: the program and its arguments.
        env: variables that the server gets besides PATH, HOME and the like.
        seconds: for each request to it.
        confirm: whether a person must agree to calls, see `Tool`.
    """
    require_mcp()
    from anyio.from_thread import start_blocking_portal  # mcp brings it along
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program, *arguments = command
    parameters = StdioServerParameters(command=program, args=arguments, env=dict(env or {}))
    # A notebook replaces sys.stderr by an object that no process can write to.
    transport = stdio_client(parameters, errlog=sys.__stderr__)
    with (
        start_blocking_portal() as portal,  # an event loop in a thread: a notebook has one running
        portal.wrap_async_context_manager(
            Client(transport, read_timeout_seconds=seconds)
        ) as client,
    ):
        yield [
            remote_tool(portal, client, each, confirm)
            for each in portal.call(client.list_tools).tools
        ]


def remote_tool(portal: Any, client: Any, described: "types.Tool", confirm: Confirm) -> Tool:
    """One of a server's tools as ours."""

    def call(**arguments: Any) -> str:
        result = portal.call(client.call_tool, described.name, arguments)
        # Text alone: our models read no images.
        text = "\n".join(part.text for part in result.content if part.type == "text")
        if result.is_error:
            raise CallError("raised", text or f"{described.name} failed.")
        return text

    required = described.input_schema.get("required", [])
    parameters = tuple(
        Parameter(
            name,
            # What our prompts and checks know; the server checks the rest.
            {key: schema[key] for key, kind in KNOWN.items() if isinstance(schema.get(key), kind)},
            " ".join(str(schema.get("description", "")).split()),
            name in required,
        )
        for name, schema in described.input_schema.get("properties", {}).items()
    )
    description = " ".join((described.description or "").split())
    return Tool(described.name, description, parameters, call, confirm=confirm)


if __name__ == "__main__":
    from fmcourse.apps.toolbox import TOOLS  # here: a server of other tools needs none of these

    serve(TOOLS)
